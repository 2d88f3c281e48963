// The controls above plots. They keep the focus while what they choose from changes.

import {button, el} from "../common.js";
import {cut} from "../format.js";
import {toldWithin} from "./telling.js";

const LONGEST = 24;  // of what is chosen; the browser would cut the end, in which names differ

/** A labelled choice. `options` are [value, label] or {group, options}. */
export function choice(label, options, value, onchange) {
  const one = ([name, words]) =>
    el("option", {value: name, selected: name === value, title: words}, cut(words, LONGEST));
  const select = el("select", {onchange: () => onchange(select.value)}, ...options.map((option) =>
    (option.group ? el("optgroup", {label: option.group}, ...option.options.map(one)) : one(option))));
  return el("label", {class: "choice"}, el("span", {}, label), select);
}

/** A labelled switch. */
export function check(label, checked, onchange, disabled) {
  const input = el("input",
    {type: "checkbox", checked, disabled, onchange: () => onchange(input.checked)});
  return el("label", {class: "check"}, input, label);
}

const CONTROLS = "a, button, input, select, [tabindex]";

/** Change what is in a node: the control that has the focus keeps it, by its place, boxes that scroll stay
 * where they are, and a drawing goes on telling what is pointed at. */
export function keeping(node, change) {
  const at = [...node.querySelectorAll(CONTROLS)].indexOf(document.activeElement);
  const scrolls = [...node.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  const goOn = toldWithin(node), next = change() || node;
  if (at >= 0) next.querySelectorAll(CONTROLS)[at]?.focus({preventScroll: true});
  [...next.querySelectorAll(".scroll")].forEach((box, index) => {
    if (scrolls[index]) [box.scrollLeft, box.scrollTop] = scrolls[index];
  });
  goOn(next);
}

/** Fill a bar with controls, made only when `facts` are others than before: an open choice stays open while
 * results arrive. */
export function fillBar(bar, facts, make) {
  const key = JSON.stringify(facts);
  if (bar.facts === key) return;
  bar.facts = key;
  keeping(bar, () => bar.replaceChildren(...make()));
}

/** Segments of which one is pressed. `options` are [value, label]. */
export function segments(label, options, value, onchange) {
  return el("div", {class: "seg", role: "group", "aria-label": label}, ...options.map(([name, words]) => {
    const made = button(words, () => onchange(name));
    made.setAttribute("aria-pressed", String(name === value));
    return made;
  }));
}
