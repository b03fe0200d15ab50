// The page for notes: it asks the server's own API and shows what it says.

import { ask, at, make, named, percent, say } from "./server.js";

const state = { tasks: [], asked: null, kept: null, running: null };

// ---- the question

async function showTasks() {
  try {
    state.tasks = (await (await ask("/v1/tasks")).json()).tasks;
  } catch (error) {
    say(error.message, true);
    return;
  }
  at("tasks").replaceChildren(
    ...state.tasks.map(({ task, version }) =>
      make("label", {}, make("input", { type: "checkbox", name: "task", value: task, checked: "" }), `${task} `,
        make("span", { class: "small" }, version))),
  );
}

async function showExamples() {
  const examples = await (await fetch("/page/examples.json")).json();
  for (const [number, { title }] of examples.entries()) at("example").append(make("option", { value: number }, title));
  at("example").addEventListener("change", () => {
    const chosen = at("example").value;
    at("note").value = chosen === "" ? "" : examples[chosen].text;
    count();
  });
}

function count() {
  at("count").textContent = `${at("note").value.length.toLocaleString("en")} characters`;
}

async function submit(event) {
  event?.preventDefault();
  const text = at("note").value;
  if (!state.tasks.length) await showTasks();
  const tasks = [...document.querySelectorAll("#tasks input:checked")].map((box) => box.value);
  if (!text.trim()) return say("There is no text. Paste a note, open a file, or begin with an example.", true);
  if (!tasks.length) return say("No task is chosen. Choose one or more.", true);
  state.running?.abort();
  const running = (state.running = new AbortController());
  at("ask").disabled = true;
  say("Reading the note…");
  const slow = setTimeout(() => say("Still reading. The server may have much to do; the answer will come or be refused."), 4000);
  try {
    const body = { notes: [{ id: "page", text }], tasks };
    const { predictions } = await (await ask("/v1/predict", body, running.signal)).json();
    state.asked = { text, predictions };
    show();
    say(`${predictions.length} ${predictions.length === 1 ? "task has" : "tasks have"} answered.`);
    at("keep").disabled = false;
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  } finally {
    clearTimeout(slow);
    at("ask").disabled = false;
  }
}

// ---- the answers

function show() {
  at("why").hidden = true;
  at("results").replaceChildren(...state.asked.predictions.map(card));
}

function card(found) {
  const before = state.kept?.predictions.find((one) => one.task === found.task);
  const shown = found.kind === "binary" ? found.classes.filter((one) => one.name === positive(found)) : found.classes;
  const head = make("tr", {}, make("th", { scope: "col" }, "class"), make("td"),
    ...["probability", "usual", ...(before ? ["change"] : [])].map((name) => make("th", { scope: "col", class: "number" }, name)));
  head.append(make("th", { scope: "col" }, make("span", { class: "away" }, "explanation")));
  return make("article", { "aria-label": found.task },
    make("header", {}, make("h3", {}, found.task),
      make("button", { type: "button", class: "link", onclick: () => showCard(found.task) }, `card of ${found.lineage.version}`)),
    make("p", { class: "decision" }, decision(found)),
    make("div", { class: "wide" },
      make("table", {}, make("thead", {}, head), make("tbody", {}, ...shown.map((one) => row(found, one, before))))));
}

const positive = (found) => Object.keys(found.probabilities)[1];

function decision(found) {
  if (found.kind === "multilabel") {
    const yes = found.classes.filter((one) => one.decided).length;
    const open = found.classes.filter((one) => one.decided === null && one.threshold !== null).length;
    return `Of the ${found.classes.length} likeliest labels ${yes} decided, ${open} left open.`;
  }
  if (found.abstained) return "No decision: the validation notes that scored alike lie on both sides.";
  const chosen = found.classes.find((one) => one.decided);
  return `Decided: ${chosen ? words(chosen) : "none"}.`;
}

const words = (one) => (one.title ? `${one.name}, ${one.title}` : one.name);

function row(found, one, before) {
  const { low, high, notes, value } = one.alike;
  const spoken = `${percent(one.probability)}; of ${notes} validation notes that scored alike ${percent(value)}, interval ` +
    `${percent(low)} to ${percent(high)}; usual ${percent(one.base_rate)}`;
  const bar = make("div", { class: "bar", role: "img", "aria-label": spoken, title: spoken });
  const place = (kind, left, width) => {
    const part = make("span", { class: kind });
    part.style.left = `${100 * left}%`;
    if (width !== undefined) part.style.width = `${100 * width}%`;
    bar.append(part);
  };
  place("band", low, Math.max(0.005, high - low));
  place("usual", one.base_rate);
  place("dot", one.probability);
  const cells = [
    make("th", { scope: "row" }, ...named(one.name, one.title), one.decided === true && found.kind === "multilabel" ? " ✓" : ""),
    make("td", {}, bar),
    make("td", { class: "number" }, percent(one.probability)),
    make("td", { class: "number" }, percent(one.base_rate)),
  ];
  if (before) {
    const earlier = before.probabilities[one.name];
    const change = 100 * (one.probability - earlier);
    cells.push(make("td", { class: "number" }, `${change > 0 ? "+" : change < 0 ? "−" : "±"}${Math.abs(change).toFixed(1)} points`));
  }
  const why = make("button", { type: "button", class: "link", "aria-label": `why ${one.name} in ${found.task}` }, "why");
  why.addEventListener("click", () => explain(found, one, why));
  return make("tr", {}, ...cells, make("td", {}, why));
}

// ---- why

async function explain(found, one, button) {
  const { text } = state.asked;
  button.disabled = true;
  say(`Looking for what speaks for ${one.name}…`);
  try {
    const body = { note: { id: "page", text }, task: found.task, class_name: one.name };
    const told = await (await ask("/v1/explain", body)).json();
    mark(text, told, words(one));
    say(`What moved the answer for ${one.name} is marked below.`);
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

function mark(text, told, asked) {
  at("why-title").textContent = `Why ${asked} (${told.task})`;
  const most = Math.max(...told.words.map((word) => Math.abs(word.share)), 1e-9);
  const pieces = [];
  let end = 0;
  for (const word of told.words) {
    pieces.push(text.slice(end, word.start));
    const much = Math.abs(word.share) / most;
    if (much < 0.05) pieces.push(text.slice(word.start, word.end));
    else {
      const marked = make("mark", { class: word.share > 0 ? "for" : "against", title: signed(word.share) }, text.slice(word.start, word.end));
      marked.style.setProperty("--much", (0.1 + 0.6 * much).toFixed(2));
      pieces.push(marked);
    }
    end = word.end;
  }
  if (text.slice(end).trim()) pieces.push(make("span", { class: "unread", title: "not read by the model" }, text.slice(end)));
  else pieces.push(text.slice(end));
  at("marked").replaceChildren(...pieces);
  at("why-said").textContent = faithful(told.faithfulness);
  const rows = [...told.sections].sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
  at("sections").replaceChildren(make("table", {},
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "section"), make("th", { scope: "col" }, "adds to the log-odds"))),
    make("tbody", {}, ...rows.map((one) =>
      make("tr", {}, make("th", { scope: "row" }, one.name), make("td", { class: "number" }, signed(one.share)))))));
  at("why").hidden = false;
  at("why").focus();
}

const signed = (share) => `${share < 0 ? "−" : "+"}${Math.abs(share).toFixed(2)}`;

function faithful(found) {
  if (!found) return "The note is too short to test the explanation.";
  const { words, without_named, by_chance } = found;
  const verdict = without_named < 0.25 ? "No single words decide here." : without_named > 2 * by_chance
    ? "The marks name what mattered." : "The marks are not to be relied on.";
  return `Without the ${words} ${words === 1 ? "word" : "words"} marked strongest the log-odds fall by ${without_named.toFixed(2)}, ` +
    `without as many others by ${by_chance.toFixed(2)} on average. ${verdict}`;
}

// ---- cards

async function showCard(task) {
  try {
    const text = await (await ask(`/v1/tasks/${encodeURIComponent(task)}/card`)).text();
    at("card-title").textContent = `Card of ${task}`;
    at("card-body").replaceChildren(...markdown(text));
    at("card").showModal();
  } catch (error) {
    say(error.message, true);
  }
}

// The few forms that cards have: headings, lists, tables, paragraphs.
function markdown(text) {
  const found = [];
  for (const block of text.split(/\n{2,}/)) {
    const lines = block.split("\n").filter((line) => line.trim());
    if (!lines.length) continue;
    if (lines[0].startsWith("#")) {
      found.push(make("h3", {}, lines.shift().replace(/^#+\s*/, "")));
      if (!lines.length) continue;
    }
    if (lines[0].startsWith("|")) {
      const rows = lines.filter((line) => !/^[|\s:-]+$/.test(line)).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
      const [head, ...body] = rows;
      found.push(make("table", {},
        make("thead", {}, make("tr", {}, ...head.map((cell) => make("th", { scope: "col" }, cell)))),
        make("tbody", {}, ...body.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)))))));
    } else if (lines[0].startsWith("- ")) {
      found.push(make("ul", {}, ...lines.map((line) => make("li", {}, line.replace(/^- /, "").replaceAll("`", "")))));
    } else found.push(make("p", {}, lines.join(" ").replaceAll("`", "")));
  }
  return found;
}

// ---- beginning

at("question").addEventListener("submit", submit);
at("note").addEventListener("input", count);
at("note").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
});
at("key").addEventListener("change", showTasks);
at("file").addEventListener("change", async () => {
  const [file] = at("file").files;
  if (!file) return;
  if (file.size > 800000) return say("The file is larger than a note may be (200,000 characters).", true);
  at("note").value = await file.text();
  count();
});
at("keep").addEventListener("click", () => {
  state.kept = state.asked;
  at("drop").hidden = false;
  say("These answers are kept. Change the note and ask again to compare.");
  at("note").focus();
});
at("drop").addEventListener("click", () => {
  state.kept = null;
  at("drop").hidden = true;
  if (state.asked) show();
});
await Promise.all([showTasks(), showExamples()]);
