// Keys of the whole dashboard. A page adds its own with `keys({...})`, which gives the function that unbinds
// them.

import {dialog, el} from "./common.js";

const PAGES = {
  j: "/jobs", r: "/results", c: "/curves", f: "/failures", h: "/history", w: "/workers", s: "/settings"};
const LIST = [
  ["/", "Filter"], ["j  k", "Next, previous row"], ["Enter", "Open the row"], ["x", "Select the row"],
  ["c", "New jobs"], ["[  ]", "Previous, next page of the table"],
  ["g j", "Jobs"], ["g r", "Results"], ["g c", "Curves"], ["g f", "Failures"], ["g h", "History"],
  ["g w", "Workers"], ["g s", "Settings"], ["?", "This list"]];
const TYPING = "input:not([type=checkbox]), textarea, select, [contenteditable], dialog, [popover]";
const bound = [];
let leading = 0;

/** Bind keys (event.key) to functions while a page is shown; gives the function that unbinds them.
 * A function that gives false has not used the key. */
export function keys(table) {
  bound.push(table);
  return () => bound.splice(bound.indexOf(table), 1);
}

/** The list of shortcuts. */
export function help() {
  if (document.querySelector("dialog")) return;
  const entries = LIST.flatMap(([pressed, text]) =>
    [el("dt", {}, ...pressed.split(/\s+/).map((one) => el("kbd", {}, one))), el("dd", {}, text)]);
  dialog({title: "Keyboard shortcuts", content: [el("dl", {class: "keys"}, ...entries)]});
}

// Whether a key is not meant for the page: somebody is typing, or something is open in front of it.
const elsewhere = (event) => event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented
  || event.target.closest(TYPING) || document.querySelector("dialog[open]");

/** Listen to keys; `go` leads to a path. */
export function listen(go) {
  document.addEventListener("keydown", (event) => {
    if (elsewhere(event)) return;
    const led = Date.now() - leading < 1500;
    leading = 0;
    if (led && PAGES[event.key]) {
      event.preventDefault();
      return go(PAGES[event.key]);
    }
    if (event.key === "g") {
      leading = Date.now();
      return;
    }
    if (event.key === "?") {
      event.preventDefault();
      return help();
    }
    for (const table of [...bound].reverse()) {
      if (table[event.key] && table[event.key](event) !== false) {
        event.preventDefault();
        return;
      }
    }
  });
}
