// The page for notes: it asks the server's own API and shows what it says.

import { ask, at, make, named, percent, say } from "./server.js";

const MOST_CHARACTERS = 200000; // of one note, as the server has it
const MOST_BYTES = 4 * MOST_CHARACTERS; // of a file: a character of UTF-8 has four at most

// loaded: the text that an example or a file gave, which may be replaced without asking.
const state = { tasks: [], asked: null, kept: null, running: null, loaded: "" };

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
  at("load").addEventListener("click", () => {
    const chosen = at("example").value;
    load(chosen === "" ? "" : examples[chosen].text);
  });
}

// Puts a text into the note; what was typed there is nowhere else, so it is asked for first.
function load(text) {
  const there = at("note").value;
  if (there.trim() && there !== state.loaded && !confirm("Replace the text of the note? It is kept nowhere else.")) return;
  at("note").value = text;
  state.loaded = at("note").value;
  edited();
}

// Characters as the server counts them, and not as browsers do, to whom an emoji is two.
const lengthOf = (text) => [...text].length;
const counted = (number) => number.toLocaleString("en");

function tooLong(length) {
  return length > MOST_CHARACTERS ? `That is ${counted(length - MOST_CHARACTERS)} more than a note may have. Shorten it before you ask.` : "";
}

function edited() {
  const length = lengthOf(at("note").value);
  at("count").textContent = `${counted(length)} characters.`;
  at("too-long").textContent = tooLong(length);
  showAge();
}

// Answers of another text than the one that stands there now are marked, and their explanation is closed.
function showAge() {
  const earlier = state.asked !== null && state.asked.text !== at("note").value;
  at("results").classList.toggle("earlier", earlier);
  const told = earlier ? "The note has changed: these answers are of the text before. Ask again." : "";
  if (at("earlier").textContent !== told) at("earlier").textContent = told;
  if (earlier) at("why").hidden = true;
}

async function submit(event) {
  event?.preventDefault();
  const text = at("note").value;
  if (!state.tasks.length) await showTasks();
  const tasks = [...document.querySelectorAll("#tasks input:checked")].map((box) => box.value);
  if (!text.trim()) return say("There is no text. Paste a note, open a file, or begin with an example.", true);
  const length = lengthOf(text);
  if (length > MOST_CHARACTERS) return say(`The note has ${counted(length)} characters. ${tooLong(length)}`, true);
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
  } catch (error) {
    if (error.name === "AbortError") return; // a newer question is on its way
    state.asked = null;
    show();
    say(error.message, true);
  } finally {
    clearTimeout(slow);
    at("ask").disabled = false;
  }
}

// ---- the answers

function show() {
  at("why").hidden = true;
  at("keep").disabled = state.asked === null;
  at("results").replaceChildren(...(state.asked?.predictions ?? []).map(card));
  showAge();
}

function card(found) {
  const before = state.kept?.predictions.find((one) => one.task === found.task);
  const shown = found.kind === "binary" ? found.classes.filter((one) => one.name === positive(found)) : found.classes;
  return make("article", { "aria-label": found.task },
    make("header", {}, make("h3", {}, found.task),
      make("button", { type: "button", class: "link", onclick: () => showCard(found.task) }, `card of ${found.lineage.version}`)),
    make("p", { class: isWhole(found.read) ? "small" : "small problem" }, extent(found.read)),
    make("p", { class: "decision" }, decision(found)),
    make("ul", { class: "classes" }, ...shown.map((one) => line(found, one, before))));
}

const isWhole = ({ characters, pieces }) => pieces.every(([start, end]) => start === 0 && end === characters);

// How much of the note was read.
function extent(read) {
  const { characters, pieces } = read;
  if (isWhole(read)) return "Read: the whole note.";
  const told = pieces.map(([start, end]) => (start === 0 ? `the first ${counted(end)}` : `the last ${counted(end - start)}`));
  return `Read: only ${told.join(" and ")} of ${counted(characters)} characters. The rest has no part in the answer.`;
}

const positive = (found) => Object.keys(found.probabilities)[1];

function decision(found) {
  if (found.kind === "multilabel") {
    const number = (decided) => found.classes.filter((one) => one.decided === decided && one.threshold !== null).length;
    const without = found.classes.filter((one) => one.threshold === null).length;
    return `Of the ${found.classes.length} likeliest labels ${number(true)} count, ${number(false)} do not, ${number(null)} are left open` +
      `${without ? `; ${without} have no threshold: too few validation notes have them` : ""}.`;
  }
  if (found.kind === "binary") {
    const one = found.classes.find((each) => each.name === positive(found));
    if (one.threshold === null) return "No decision: too few validation notes have the class.";
    const [open, upper] = [percent(one.open_low), percent(one.open_high)];
    if (one.decided === null) return `Left open whether it counts as ${words(one)} (${percent(one.probability)}, between ${open} and ${upper}).`;
    return one.decided ? `Counts as ${words(one)} (${percent(one.probability)}, from ${upper} on).`
      : `Does not count as ${words(one)} (${percent(one.probability)}, below ${open}).`;
  }
  if (found.abstained) return "Left open: by the validation notes that scored alike the runner-up may be as likely.";
  return `The likeliest: ${words(found.classes.find((one) => one.decided))}.`;
}

// Where a class's threshold lies, and what follows for this note.
function rule(one) {
  if (one.threshold === null) return "";
  const counts = { true: "counts", false: "does not count", null: "left open" }[one.decided];
  const open = one.open_low < one.open_high ? `, open between ${percent(one.open_low)} and ${percent(one.open_high)}` : "";
  return `${counts}: threshold ${percent(one.threshold)}${open}`;
}

const words = (one) => (one.title ? `${one.name}, ${one.title}` : one.name);

function line(found, one, before) {
  const { low, high, notes, value } = one.alike;
  const spoken = `${percent(one.probability)}; of ${notes} validation notes that scored alike ${percent(value)}, interval ` +
    `${percent(low)} to ${percent(high)}; usual ${percent(one.base_rate)}${rule(one) && `; ${rule(one)}`}`;
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
  if (one.threshold !== null) {
    place("open", one.open_low, one.open_high - one.open_low);
    place("threshold", one.threshold);
  }
  const about = [rule(one), `usual\u00a0${percent(one.base_rate)}`];
  if (before) {
    const change = 100 * (one.probability - before.probabilities[one.name]);
    about.push(`change ${change > 0 ? "+" : change < 0 ? "−" : "±"}${Math.abs(change).toFixed(1)}\u00a0points`);
  }
  const told = make("span", { class: "small", role: "status" });
  const why = make("button", { type: "button", class: "link", "aria-label": `why ${one.name} in ${found.task}` }, "why");
  why.addEventListener("click", () => explain(found, one, why, told));
  return make("li", {},
    make("div", { class: "ends" }, make("span", {}, ...named(one.name, one.title)), make("strong", {}, percent(one.probability))),
    bar,
    make("div", { class: "ends small" }, make("span", {}, about.filter(Boolean).join("; ")), why),
    told);
}

// ---- why

async function explain(found, one, button, told) {
  const { asked } = state;
  const { text } = asked;
  button.disabled = true;
  say(`Looking for what speaks for ${one.name}…`, false, told);
  try {
    const body = { note: { id: "page", text }, task: found.task, class_name: one.name };
    const explanation = await (await ask("/v1/explain", body)).json();
    say("", false, told);
    if (state.asked === asked && at("note").value === text) mark(text, explanation, words(one));
  } catch (error) {
    say(error.message, true, told);
  } finally {
    button.disabled = false;
  }
}

function mark(whole, told, asked) {
  const text = [...whole]; // the server counts characters, and browsers halves of some
  const between = (start, end) => text.slice(start, end).join("");
  // Every word that was read is told, so what lies between them was not.
  const gap = (start, end) => {
    const left = between(start, end);
    return left.trim() ? make("span", { class: "unread", title: "not read by the model" }, left) : left;
  };
  at("why-title").textContent = `Why ${asked} (${told.task})`;
  const most = Math.max(...told.words.map((word) => Math.abs(word.share)), 1e-9);
  const pieces = [];
  let end = 0;
  for (const word of told.words) {
    pieces.push(gap(end, word.start));
    const much = Math.abs(word.share) / most;
    if (much < 0.05) pieces.push(between(word.start, word.end));
    else {
      const marked = make("mark", { class: word.share > 0 ? "for" : "against", title: signed(word.share) }, between(word.start, word.end));
      marked.style.setProperty("--much", (0.1 + 0.6 * much).toFixed(2));
      pieces.push(marked);
    }
    end = word.end;
  }
  pieces.push(gap(end, text.length));
  at("marked").replaceChildren(...pieces);
  at("unread-key").hidden = !at("marked").querySelector(".unread");
  at("why-said").textContent = faithful(told.faithfulness);
  const rows = [...told.sections].sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
  at("sections").replaceChildren(make("table", {},
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "section"), make("th", { scope: "col", class: "number" }, "adds to the log-odds"))),
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
    at("card").scrollTop = 0;
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

// A file's text; null where it is none, or in another encoding, whose letters would be read as others.
function textOf(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

at("question").addEventListener("submit", submit);
at("note").addEventListener("input", edited);
at("note").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
});
at("key").addEventListener("change", showTasks);
at("file").addEventListener("change", async () => {
  const [file] = at("file").files;
  if (!file) return;
  at("file").value = ""; // so that the same file can be opened again
  if (file.size > MOST_BYTES) return say(`The file is larger than a note may be (${counted(MOST_CHARACTERS)} characters).`, true);
  const text = textOf(await file.arrayBuffer());
  if (text === null) return say(`${file.name} is not text in UTF-8. Save it as a text file in UTF-8, and open that.`, true);
  load(text);
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
