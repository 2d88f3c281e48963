// What the Hub's pages and the dashboard share: questions to the service, elements, menus, fields, dialogs.
// Data goes into the page as text, never as markup.

import {parse, stringify} from "./exactjson.js";

export const $ = (id) => document.getElementById(id);

// Where the site begins: "/", or a path of a portal such as "/node/host/5050/", which a proxy may hide from
// the service. This module is in static/<version>/ below it. Scripts name addresses as if the site began
// at "/".
const BASE = new URL("../..", import.meta.url);

/** The path at which the site begins, with a slash at its end. */
export const base = BASE.pathname;

/** The address of a path of this site: "/jobs/12" → "/node/host/5050/jobs/12". */
export const at = (path) => base + path.slice(1);

/** The path of a link, URL or location in this site, "/jobs/12"; null if it leads elsewhere. */
export const below = (url) =>
  (url.origin === BASE.origin && url.pathname.startsWith(base) ? url.pathname.slice(base.length - 1) : null);

class Refused extends Error {
  /** `wait`: seconds after which it may be tried again, 0 if nothing was said of that. */
  constructor(message, status, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

// The newest answers to questions, as text, the newest last: what is shown while the service is away.
const KEPT = 24, LONGEST = 2 ** 20;
const kept = new Map();

function keep(path, text) {
  kept.delete(path);
  if (text.length <= LONGEST) kept.set(path, text);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

const read = (text, exact) => (exact ? parse(text, exact) : JSON.parse(text));

/** `askNow`, where a question without a body that gets no answer has the one that it had before. */
export async function ask(path, body, signal, exact) {
  try {
    return await askNow(path, body, signal, exact);
  } catch (error) {
    if (error.status !== 0 || body !== undefined || !kept.has(path)) throw error;
    return read(kept.get(path), exact);
  }
}

/** Go to the sign-in, which leads back to this view. Gives false: nobody is signed in yet. */
export async function toSignIn() {
  location.assign(at("/signin?next=") + encodeURIComponent(below(location) + location.search));
  return false;
}

let signedOut = toSignIn;

/** Have `handler` awaited when the service says that nobody is signed in; the question is asked once more if
 * it gives true. */
export const onSignedOut = (handler) => { signedOut = handler; };

/** Ask the service: GET without a body, POST with one. What stands below the names `exact` of the answer has
 * its numbers as they are written (exactjson.js). Throws Refused, an Error with a message for people,
 * `status` (0: no answer) and `wait`; AbortError when `signal` ended it. */
export async function askNow(path, body, signal, exact) {
  const options = body === undefined ? {signal} : {
    signal, method: "POST", headers: {"Content-Type": "application/json"}, body: stringify(body)};
  let answer, text, content;
  try {
    answer = await fetch(at("/web/" + path), options);
    text = await answer.text();
    content = read(text, exact);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const service = document.documentElement.dataset.service;
    throw new Refused(`The ${service} does not answer. Check that it runs, then try again.`, 0);
  }
  if (answer.ok) {
    if (body === undefined) keep(path, text);
    return content;
  }
  if (answer.status === 401 && await signedOut()) return askNow(path, body, signal, exact);
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  throw new Refused(sentence(content.error || "something went wrong"), answer.status, wait);
}

const sentence = (text) =>
  text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?…]$/.test(text) ? "" : ".");

/** An element; text and other children are appended, `on…` are listeners, the rest attributes. An `href` or
 * `src` that begins with a slash is of this site. */
export function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, addressed(name, value));
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const addressed = (name, value) =>
  ((name === "href" || name === "src") && value.startsWith("/") ? at(value) : value);

export const button = (text, onclick, kind) =>
  el("button", {type: "button", class: kind || false, onclick}, text);

export function toast(text, bad) {
  const made = el("div", {class: bad ? "toast bad" : "toast"}, text);
  $("toasts").append(made);
  setTimeout(() => made.remove(), bad ? 8000 : 4000);
}

export const fail = (error) => toast(error.message, true);

/** The sign of JobDistributor, above what stands in the place of a list. */
export const icon = () =>
  el("img", {src: new URL("icon.svg", import.meta.url).href, alt: "", width: 40, height: 40});

/** What stands in the place of a list that has nothing. */
export function empty(title, text, action) {
  return el("div", {class: "empty"}, icon(),
    el("h2", {}, title), el("p", {}, text), action);
}

/** Whether fingers are what this device is used with, so that words name what works there. */
export const touched = () => matchMedia("(pointer: coarse)").matches;

/** A button that copies the text of an element. */
export function copyButton(from, kind) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(from.textContent);
      copy.textContent = "Copied";
    } catch (error) {  // browsers forbid it on pages that are neither https nor this machine's
      getSelection().selectAllChildren(from);
      const help = touched() ? "Copy it by hand" : "Press Ctrl-C";
      copy.textContent = document.execCommand("copy") ? "Copied" : help;
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2500);
  }, kind);
  return copy;
}

/** A text to take along, with a button that copies it. */
export function secret(text, label, id) {
  const pre = el("pre", {id, tabindex: 0, "aria-label": label}, text);
  const copy = copyButton(pre);
  copy.setAttribute("aria-label", "Copy " + label);
  return el("div", {class: "secret"}, pre, copy);
}

// ---- menus

/** A button that opens a menu. `items()` gives what is in it when it opens: [text, onclick, kind], where kind
 * may be "danger" or "checked", null for a line between; or an element. */
export function menu(label, items, attributes) {
  const list = el("div", {class: "menu", popover: "auto", role: "menu"});
  const opener = el("button",
    {type: "button", "aria-haspopup": "true", "aria-expanded": "false", ...attributes}, label);
  const entry = ([text, onclick, kind]) => el("button", {
    type: "button", role: "menuitem", class: kind || false,
    onclick: () => { list.hidePopover(); opener.focus(); onclick(); }}, text);

  function fill() {
    const made = items(), pure = made.every((item) => item === null || Array.isArray(item));
    list.setAttribute("role", pure ? "menu" : "group");
    list.replaceChildren(...made.map((item) => {
      if (item === null) return el("hr");
      return Array.isArray(item) ? entry(item) : item;
    }));
  }

  function place() {
    const at = opener.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(at.left, wide - list.offsetWidth - 8));
    const below = at.bottom + 4 + list.offsetHeight <= innerHeight || at.top < list.offsetHeight;
    list.style.setProperty("left", left + "px");
    list.style.setProperty("top", (below ? at.bottom + 4 : at.top - 4 - list.offsetHeight) + "px");
  }

  opener.addEventListener("click", () => {
    if (list.matches(":popover-open")) return list.hidePopover();
    fill();
    opener.after(list);
    list.showPopover();
    place();
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

// ---- fields and dialogs

let fields = 0;

/** A labelled input with a line below it for what is to be said about it. */
export function field(label, attributes) {
  const id = "field-" + (fields += 1);
  const input = el("input", {id, type: "text", autocomplete: "off", autocapitalize: "none",
    spellcheck: "false", "aria-describedby": id + "-say", ...attributes});
  const said = el("p", {class: "say", id: id + "-say", "aria-live": "polite"});
  return {
    input,
    node: el("div", {}, el("label", {for: id}, label), input, said),
    say(text, kind) {
      said.textContent = text;
      said.className = "say " + (kind || "");
      input.setAttribute("aria-invalid", String(kind === "bad"));
    },
  };
}

/** A dialog with `content`. `submit` is awaited and may throw; a function it gives is called when the
 * dialog has closed. Without an `action` it only closes. */
export function dialog({title, content, action, danger, submit, close}) {
  const problem = el("p", {class: "problem", role: "alert"});
  const go = el("button", {class: "primary" + (danger ? " danger" : "")}, action || "Done");
  const cancel = action ? button("Cancel", () => box.close()) : null;
  const send = async (event) => {
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
  };
  const id = "dialog-" + (fields += 1);  // one may stand above another
  const form = el("form", {novalidate: true, onsubmit: send},
    el("h2", {id}, title), ...content, problem,
    el("div", {class: "foot"}, cancel, go));
  const onclose = () => { box.remove(); if (close) close(); };
  const box = el("dialog", {"aria-labelledby": id, onclose}, form);
  document.body.append(box);
  box.showModal();
  const first = form.querySelector("input");
  (first || go).focus();
  return {go, box};
}
