// The page for those who look after a server: how far the last days lie from validation, and what came true.

import { ask, at, figure, make, named, say } from "./server.js";

const SMALL = 0.1;
const LARGE = 0.25;
const SCALE = 0.5; // what a whole bar stands for
const SHOWN = 10;

async function look() {
  say("Looking…");
  try {
    const { tasks } = await (await ask("/v1/tasks")).json();
    const found = await Promise.all(tasks.map(async (task) => {
      const path = `/v1/drift/${encodeURIComponent(task.task)}?days=${at("days").value}`;
      const [drift, detail] = await Promise.all([ask(path), ask(`/v1/tasks/${encodeURIComponent(task.task)}`)]);
      return article(task, await drift.json(), await detail.json());
    }));
    at("results").replaceChildren(...found);
    say(`${found.length} ${found.length === 1 ? "task" : "tasks"}.`);
  } catch (error) {
    at("results").replaceChildren();
    say(error.message, true);
  }
}

function article(task, drift, detail) {
  const titles = new Map(detail.class_names.map((name, place) => [name, detail.class_titles[place]]));
  // Of two classes one says it all.
  const scores = task.kind === "binary" ? drift.scores.slice(1) : drift.scores;
  const parts = [
    make("header", {}, make("h2", {}, task.task), make("span", { class: "small" }, answering(task))),
    make("p", { class: "decision" }, verdict(drift, scores)),
  ];
  if (drift.notes) {
    parts.push(shifts("Notes", drift.inputs ?? [], (one) => [one.name]));
    parts.push(shifts("Scores", scores, (one) => named(one.name, titles.get(one.name))));
  }
  parts.push(outcomes(drift, task.metrics));
  return make("article", { "aria-label": task.task }, ...parts);
}

// What the version before it was asked is not shown, so it is said since when this one answers.
function answering({ version, since }) {
  return since ? `${version}, promoted ${new Date(since).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}` : version;
}

const known = (one) => one.psi !== null && one.chance !== null;
const excess = (one) => (known(one) ? one.psi - one.chance : -Infinity);
const above = (one) => excess(one) > 0;

function verdict(drift, scores) {
  if (!drift.notes) return "No note was answered in these days.";
  const asked = `${drift.notes.toLocaleString("en")} ${drift.notes === 1 ? "note" : "notes"} answered.`;
  const parts = [];
  const large = (drift.inputs ?? []).filter((one) => above(one) && one.psi >= LARGE).map((one) => one.name);
  if (large.length) parts.push(`The notes are others than on validation: ${large.join(", ")}.`);
  const moved = scores.filter((one) => above(one) && one.psi >= LARGE).length;
  if (moved) parts.push(scores.length === 1 ? "Its scores have shifted." : `The scores of ${moved} of ${scores.length} classes have shifted.`);
  if (!parts.length) parts.push("Nothing has shifted far.");
  return `${asked} ${parts.join(" ")}`;
}

function shifts(caption, every, name) {
  const rows = [...every].sort((a, b) => excess(b) - excess(a)).slice(0, SHOWN);
  const left = every.length - rows.length;
  const beyond = every.filter(above).length;
  const told = left ? ` (the ${SHOWN} furthest above chance of ${every.length.toLocaleString("en")}; ${beyond} lie above it, ` +
    `${Math.round(every.length / 20)} would by chance)` : "";
  if (!rows.length) return make("p", { class: "small" }, `${caption}: this version kept no profile of its validation notes.`);
  return make("div", { class: "wide" }, make("table", {},
    make("caption", {}, caption, told),
    make("thead", {}, make("tr", {}, ...["what", "shift", "PSI", "by chance", ""].map((head, place) =>
      make("th", place === 2 || place === 3 ? { scope: "col", class: "number" } : { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map((one) => make("tr", {},
      make("th", { scope: "row" }, ...name(one)),
      make("td", {}, bar(one)),
      make("td", { class: "number" }, figure(one.psi)),
      make("td", { class: "number" }, figure(one.chance)),
      make("td", { class: above(one) && one.psi >= LARGE ? "problem" : "" }, words(one)))))));
}

function words(one) {
  if (!known(one)) return "not known";
  if (!above(one)) return "within chance";
  return one.psi < SMALL ? "small" : one.psi < LARGE ? "moderate" : "large ▲";
}

function bar(one) {
  const node = make("div", { class: "bar", "aria-hidden": "true" });
  if (!known(one)) return node;
  const much = make("span", { class: above(one) && one.psi >= LARGE ? "much warn" : "much" });
  much.style.width = `${Math.min(100, (100 * one.psi) / SCALE)}%`;
  const chance = make("span", { class: "usual" });
  chance.style.left = `${Math.min(99, (100 * one.chance) / SCALE)}%`;
  node.append(much, chance);
  return node;
}

function outcomes(drift, test) {
  const said = `${drift.outcomes.toLocaleString("en")} ${drift.outcomes === 1 ? "outcome" : "outcomes"} came back.`;
  if (!drift.metrics) return make("p", { class: "small" }, `${said} Figures are made of 20 or more.`);
  const limits = (one) => (one?.low == null ? "" : ` (${figure(one.low)} to ${figure(one.high)})`);
  return make("div", { class: "wide" }, make("table", {},
    make("caption", {}, `What came true: ${said}`),
    make("thead", {}, make("tr", {}, ...["figure", "of these notes", "of the test notes"].map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...Object.entries(drift.metrics).map(([name, one]) => make("tr", {},
      make("th", { scope: "row" }, name.replaceAll("_", " ")),
      make("td", {}, figure(one.value), limits(one)),
      make("td", {}, figure(test[name]?.value ?? null), limits(test[name])))))));
}

at("days").addEventListener("change", look);
at("which").addEventListener("submit", (event) => {
  event.preventDefault();
  look();
});
at("key").addEventListener("change", look);
await look();
