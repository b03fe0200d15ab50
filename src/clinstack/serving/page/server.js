// What both pages use: asking the server, with the caller's key if it wants one, and making what it says into elements.
// Text from the server is put in as text, never as markup.

export const at = (id) => document.getElementById(id);
export const percent = (share) => (share < 0.001 && share > 0 ? "<\u00a00.1\u00a0%" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}\u00a0%`);

export const figure = (value) => (value === null || value === undefined ? "none" : value.toFixed(3));

// A class as people know it: its name, and what it stands for.
export const named = (name, title) => (title ? [name, make("span", { class: "title" }, ` ${title}`)] : [name]);

export function make(tag, given = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...inside);
  return node;
}

class Refused extends Error {}

export async function ask(path, body, signal) {
  const headers = { "content-type": "application/json" };
  const key = at("key").value || sessionStorage.getItem("key");
  if (key) headers.authorization = `Bearer ${key}`;
  let answer;
  try {
    answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server cannot be reached. Ask again when it runs.");
  }
  if (answer.status === 401) {
    at("key-row").hidden = false;
    at("key").focus();
  } else if (key) sessionStorage.setItem("key", key);
  if (answer.ok) return answer;
  let told;
  try {
    told = (await answer.json()).error.message;
  } catch {
    told = `The server answered with status ${answer.status}.`;
  }
  throw new Refused(told);
}

// Says it in a place that screen readers watch: near the reader, where that is not the page's own line.
export function say(text, problem = false, where = at("status")) {
  where.textContent = text;
  where.classList.toggle("problem", problem);
}
