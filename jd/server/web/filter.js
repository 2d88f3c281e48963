// Texts of the filter language, which the server reads: conditions that a page writes or changes itself.

import {STATUSES} from "./format.js";

// Conditions and texts; an operator may have blanks on both sides.
const words = (text) => text.match(
  /(?:[^\s"]|"[^"]*"?)+(?:\s+(?:!=|<=|>=|=|<|>|!?~)\s+(?:[^\s"]|"[^"]*"?)+)?/g) || [];
const isStatus = (word) => /^status\s*=/i.test(word);

/** The statuses that a filter asks for; none where it says nothing of them. */
export function statusesOf(text) {
  const found = words(text).filter(isStatus)
    .map((word) => word.replace(/^status\s*=\s*/i, "").replace(/"/g, "").toUpperCase().split(","));
  return found.length === 1 ? found[0].filter((name) => STATUSES.includes(name)) : [];
}

/** The filter with exactly these statuses asked for (none: with all). */
export function withStatuses(text, statuses) {
  const rest = words(text).filter((word) => !/^status\s*!?=/i.test(word));
  return (statuses.length ? ["status=" + statuses.join(",")] : []).concat(rest).join(" ");
}

/** A condition, its value quoted where it must be. */
export function condition(name, operator, value) {
  const text = String(value);
  const plain = /^[^\s"'\\,=<>!][^\s"'\\,]*$/.test(text);
  return name + operator + (plain ? text : '"' + text.replace(/(["\\])/g, "\\$1") + '"');
}
