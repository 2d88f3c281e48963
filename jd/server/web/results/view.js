// What the Results page shows, as its address has it: a link shows another person the same. What is not as it
// should be counts as not said. Pure functions.

import {escaped, listOf, unescaped} from "../lists.js";

export const TOPS = [20, 100, 500];  // jobs of the leaderboard
const LONGEST = 3000;  // characters of one value; servers refuse addresses of more than 8 kB

/** Ranges, a Map of names to [low, high], as one text: "lr:0.1:0.3,opt:adam:sgd". */
export const rangesText = (ranges) =>
  [...ranges].map(([name, ends]) => [name, ...ends].map(escaped).join(":")).join(",");

// The ranges of such a text, their ends as texts.
function rangesOf(text) {
  const parts = (text.match(/(?:[^,\\]|\\.)+/gs) || [])
    .map((one) => (one.match(/(?:[^:\\]|\\.)+/gs) || []).map(unescaped));
  return new Map(parts.filter((one) => one.length === 3).map(([name, ...ends]) => [name, ends]));
}

// "1" or "0" as true or false, else undefined.
const switchOf = (text) => (/^[01]$/.test(text) ? text === "1" : undefined);

/** A switch as a text; undefined, as the values suggest, is "". */
export const switchText = (on) => (on === undefined ? "" : String(Number(on)));

/** {by, down} as a text: "-result.accuracy", the minus where the most comes first. */
export const sortText = (sort) => (sort ? (sort.down ? "-" : "") + sort.by : "");

function sortOf(text) {
  const [, minus, by] = /^(-?)((?:param|result)\..+)$/s.exec(text) || [];
  return by ? {by, down: minus === "-"} : null;
}

/** What an address, a URLSearchParams, says: texts, "" for none; switches, undefined for none; lists and the
 * sort, null for none. */
export function viewOf(query) {
  const text = (name) => query.get(name) || "", top = Number(text("top"));
  return {
    metric: text("metric"), filter: text("filter"), less: switchOf(text("less")), log: switchOf(text("log")),
    x: text("x"), draw: text("draw"), xlog: switchOf(text("xlog")),
    across: text("across"), up: text("up") || text("down"), how: text("how"),
    axes: listOf(text("axes")), ranges: rangesOf(text("ranges")),
    columns: listOf(text("columns")), sort: sortOf(text("sort")), top: TOPS.includes(top) ? top : TOPS[0],
  };
}

/** Values for the address without those that would make it too long to be asked for. */
export const bounded = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) =>
  [name, encodeURIComponent(value ?? "").length > LONGEST ? "" : value]));
