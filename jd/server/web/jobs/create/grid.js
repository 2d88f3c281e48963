// A grid of parameters as people type it: names with values, ranges, and what they multiply to.

import {exactNumber, isNumber, parse} from "../../exactjson.js";

export const MOST = 1000000;  // jobs at once, as the server allows

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const RANGE = /^(\S+?)\.\.(\S+)(?:\s+(step|log)\s+(\S+))?$/i;

/** Whether a text is a number as people type it. */
export const isNumeral = (text) => NUMBER.test(text);

/** The values that `text` means, separated by commas or lines: numbers, true, false, null, text, quoted text,
 * JSON, and ranges: `1..10`, `0..1 step 0.25`, `1e-5..1e-1 log 5`. Throws an Error for people. */
export function values(text) {
  const found = [];
  for (const part of split(text)) {
    const range = RANGE.exec(part);
    const made = range && NUMBER.test(range[1]) && NUMBER.test(range[2]) ? span(part, range) : [value(part)];
    if (found.length + made.length > MOST) throw new Error(`More than ${MOST.toLocaleString("en")} values.`);
    for (const one of made) found.push(one);  // spreading a million arguments overflows the stack
  }
  return found;
}

/** What one value is called: "number", "text" and so on. */
export function kind(one) {
  if (one === null) return "null";
  if (typeof one === "boolean") return "true/false";
  if (isNumber(one)) return "number";
  return typeof one === "string" ? "text" : "JSON";
}

/** How many jobs a grid makes; `grid` is a list of [name, values]. */
export const combinations = (grid) => grid.reduce((product, [, list]) => product * list.length, 1);

/** The job at a place in the product, the last name varying fastest. */
export function jobAt(grid, place) {
  const job = [];
  for (let at = grid.length - 1; at >= 0; at -= 1) {
    const [name, list] = grid[at];
    job.unshift([name, list[place % list.length]]);
    place = Math.floor(place / list.length);
  }
  return Object.fromEntries(job);
}

// Parts between commas and lines; those within quotes and brackets do not separate.
function split(text) {
  const parts = [];
  let part = "", depth = 0, quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    if (quoted) {
      part += sign;
      if (sign === "\\") part += text[at += 1] ?? "";
      else if (sign === '"') quoted = false;
    } else if ((sign === "," || sign === "\n") && depth === 0) {
      parts.push(part);
      part = "";
    } else {
      if (sign === '"' && (depth > 0 || part.trim() === "")) quoted = true;
      if (depth > 0 || part.trim() === "") depth += "[{".includes(sign) ? 1 : 0;
      if (depth > 0 && "]}".includes(sign)) depth -= 1;
      part += sign;
    }
  }
  parts.push(part);
  return parts.map((one) => one.trim()).filter((one) => one !== "");
}

// A number as it is typed: all digits of a long one, and 1.0 is not 1. An exponent is written out.
function number(part) {
  const near = Number(part), [, sign, whole, fraction] = /^([+-]?)(\d*)(\.\d*)?/.exec(part);
  if (!Number.isFinite(near)) throw new Error(`${part} is larger than a number can be.`);
  if (/e/i.test(part)) return near;
  const digits = whole.replace(/^0+(?=\d)/, "") || "0";
  return exactNumber(sign.replace("+", "") + digits + (fraction === "." ? ".0" : fraction || ""));
}

function value(part) {
  if (NUMBER.test(part)) return number(part);
  if (["true", "false", "null"].includes(part)) return JSON.parse(part);
  if (!'"[{'.includes(part[0])) return part;
  try {
    return parse(part);
  } catch (error) {
    throw new Error(`${part.slice(0, 40)} is neither text nor JSON; quote text as "…".`);
  }
}

function span(part, [, low, high, how, by]) {
  const from = Number(low), to = Number(high), word = (how || "").toLowerCase();
  const given = by === undefined ? 1 : Number(by);
  const long = [low, high].find((end) => /^[+-]?\d+$/.test(end) && !Number.isSafeInteger(Number(end)));
  if (long) {
    throw new Error(`${part}: ${long} has more digits than a range keeps; give its values one by one.`);
  }
  if (by !== undefined && !(NUMBER.test(by) && given > 0)) {
    throw new Error(`${part}: ${by} is not a positive number.`);
  }
  if (word === "log") {
    if (!(from > 0 && to > 0)) throw new Error(`${part}: a log range needs positive ends.`);
    if (!Number.isInteger(given) || given < 2) throw new Error(`${part}: give how many values, at least 2.`);
    return fill(part, given, (at) => Number((from * (to / from) ** (at / (given - 1))).toPrecision(6)));
  }
  const count = Math.floor(Math.abs(to - from) / given + 1e-9) + 1;
  const step = from <= to ? given : -given;
  return fill(part, count, (at) => Number((from + at * step).toPrecision(12)));
}

function fill(part, count, make) {
  if (count > MOST) throw new Error(`${part} are ${count.toLocaleString("en")} values, too many.`);
  return Array.from({length: count}, (_, at) => make(at));
}
