// What all pages share. Data goes into the page as text, never as markup.

export const $ = (id) => document.getElementById(id);

export class Refused extends Error {
  /** `wait`: seconds after which it may be tried again, 0 if nothing was said of that. */
  constructor(message, status, wait = 0) { super(message); this.status = status; this.wait = wait; }
}

/** Ask the service: GET without a body, POST with one. Throws Refused with a message for people;
 * AbortError when `signal` ended it. */
export async function ask(path, body, signal) {
  const options = body === undefined ? {signal} : {
    signal, method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)};
  let answer, content;
  try {
    answer = await fetch("/web/" + path, options);
    content = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(`The ${document.documentElement.dataset.service} does not answer. Check that it runs, then try again.`, 0);
  }
  if (answer.ok) return content;
  if (answer.status === 401) location.assign("/signin?next=" + encodeURIComponent(location.pathname + location.search));
  throw new Refused(sentence(content.error || "something went wrong"), answer.status, Number(answer.headers.get("Retry-After")) || 0);
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

/** An element; text and other children are appended, `on…` are listeners, the rest attributes. */
export function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export const button = (text, onclick, kind) => el("button", {type: "button", class: kind || false, onclick}, text);

/** Seconds as people say them: "3 min ago". */
export function ago(now, then) {
  if (then == null) return el("span", {}, "never");
  const seconds = Math.max(0, now - then);
  const steps = [[86400 * 60, 86400 * 30, "months"], [86400 * 2, 86400, "days"], [7200, 3600, "h"], [90, 60, "min"]];
  const step = steps.find(([from]) => seconds >= from);
  const text = step ? Math.floor(seconds / step[1]) + " " + step[2] + " ago" : "just now";
  const date = new Date(then * 1000);
  return el("time", {datetime: date.toISOString(), title: date.toLocaleString()}, text);
}

export function toast(text, bad) {
  const made = el("div", {class: bad ? "toast bad" : "toast"}, text);
  $("toasts").append(made);
  setTimeout(() => made.remove(), bad ? 8000 : 4000);
}

export const fail = (error) => toast(error.message, true);

/** A table from heads and rows of cells; `over` rows are those of the past. */
export function table(heads, rows) {
  const line = (row) => el("tr", {class: row.over ? "over" : false}, ...row.cells.map((cell, at) =>
    el("td", {"data-label": heads[at], class: heads[at] ? false : "acts"}, cell)));
  const head = (text) => el("th", {scope: "col"}, text || el("span", {"aria-label": "Actions"}));
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads.map(head))), el("tbody", {}, ...rows.map(line)));
}

export const actions = (...made) => el("div", {}, ...made);

export function empty(title, text, action) {
  return el("div", {class: "empty"}, el("img", {src: "/static/icon.svg", alt: "", width: 40, height: 40}),
    el("h2", {}, title), el("p", {}, text), action);
}

/** Put a fresh list into the page; the control that had the focus keeps it, by its place. */
export function show(list) {
  const section = $("list");
  const controls = () => [...section.querySelectorAll("button, a")];
  const at = controls().indexOf(document.activeElement);
  section.replaceChildren(list);
  section.setAttribute("aria-busy", "false");
  if (at >= 0) (controls()[at] || $("new")).focus();
}

/** A secret to take along, with a button that copies it. */
export function secret(text, label, id) {
  const pre = el("pre", {id, tabindex: 0, "aria-label": label}, text);
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch (error) {  // browsers forbid it on pages that are neither https nor this machine's
      getSelection().selectAllChildren(pre);
      copy.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl-C";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2500);
  });
  copy.setAttribute("aria-label", "Copy " + label);
  return el("div", {class: "secret"}, pre, copy);
}

/** A button that opens a menu. `items()` gives what is in it when it opens: [text, onclick, kind], where kind
 * may be "danger" or "checked", null for a line between; or an element. */
export function menu(label, items, attributes) {
  const list = el("div", {class: "menu", popover: "auto", role: "menu"});
  const opener = el("button", Object.assign({type: "button", "aria-haspopup": "true", "aria-expanded": "false"}, attributes), label);
  const entry = ([text, onclick, kind]) => el("button", {type: "button", role: "menuitem", class: kind || false,
    onclick: () => { list.hidePopover(); opener.focus(); onclick(); }}, text);
  opener.addEventListener("click", () => {
    if (list.matches(":popover-open")) return list.hidePopover();
    const made = items();
    list.setAttribute("role", made.every((item) => item === null || Array.isArray(item)) ? "menu" : "group");
    list.replaceChildren(...made.map((item) => (item === null ? el("hr") : Array.isArray(item) ? entry(item) : item)));
    opener.after(list);
    list.showPopover();
    const at = opener.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    const below = at.bottom + 4 + list.offsetHeight <= innerHeight || at.top < list.offsetHeight;
    list.style.setProperty("left", Math.max(8, Math.min(at.left, wide - list.offsetWidth - 8)) + "px");
    list.style.setProperty("top", (below ? at.bottom + 4 : at.top - 4 - list.offsetHeight) + "px");
    list.querySelector("button, input")?.focus();
  });
  list.addEventListener("toggle", (event) => {
    opener.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState === "closed" && list.contains(document.activeElement)) opener.focus();
  });
  list.addEventListener("keydown", (event) => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...list.querySelectorAll("button, input")], at = all.indexOf(document.activeElement);
    all[(at + step + all.length) % all.length]?.focus();
  });
  return opener;
}

let fields = 0;

/** A labelled input with a line below it for what is to be said about it. */
export function field(label, attributes) {
  const id = "field-" + (fields += 1);
  const input = el("input", Object.assign({id, type: "text", autocomplete: "off", autocapitalize: "none",
    spellcheck: "false", "aria-describedby": id + "-say"}, attributes));
  const say = el("p", {class: "say", id: id + "-say", "aria-live": "polite"});
  return {input, node: el("div", {}, el("label", {for: id}, label), input, say),
    say(text, kind) { say.textContent = text; say.className = "say " + (kind || "");
      input.setAttribute("aria-invalid", String(kind === "bad")); }};
}

/** A dialog with `content`. `submit` is awaited and may throw; a function it gives is called when the
 * dialog has closed. Without an `action` it only closes. */
export function dialog({title, content, action, danger, submit, close}) {
  const problem = el("p", {class: "problem", role: "alert"});
  const go = el("button", {class: "primary" + (danger ? " danger" : "")}, action || "Done");
  const cancel = action ? button("Cancel", () => box.close()) : null;
  const form = el("form", {novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    if (!action) return box.close();
    go.disabled = true;
    problem.textContent = "";
    try {
      const next = await submit();
      box.close();
      if (next) next();
    } catch (error) {
      problem.textContent = error.message;
      go.disabled = false;
    }
  }}, el("h2", {id: "dialog-title"}, title), ...content, problem, el("div", {class: "foot"}, cancel, go));
  const box = el("dialog", {"aria-labelledby": "dialog-title", onclose: () => { box.remove(); if (close) close(); }}, form);
  document.body.append(box);
  box.showModal();
  const first = form.querySelector("input");
  (first || go).focus();
  return {go, box};
}

/** The frame of the pages of who is signed in. */
export async function frame() {
  $("signout").addEventListener("click", async () => {
    try {
      await ask("signout", {});
      location.assign("/signin");
    } catch (error) { fail(error); }
  });
  const me = await ask("me");
  $("me").textContent = me.email;
  $("me").title = me.email;
  return me;
}

/** Load now, and when somebody comes back to the page. */
export async function keepFresh(load) {
  const quietly = () => { if (!document.hidden && !document.querySelector("dialog")) load().catch(() => {}); };
  try {
    await load();
  } catch (error) {
    show(empty("This list could not be loaded", error.message, button("Try again", () => location.reload(), "primary")));
  }
  document.addEventListener("visibilitychange", quietly);
  setInterval(quietly, 30000);
}
