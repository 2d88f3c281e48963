// What an address says that new jobs could be, for the form: /jobs?new={"parameters": {"lr": {"low": …}}}.

import {isNumber, isWhole, parse, stringify} from "../../exactjson.js";
import {isNumeral, values} from "./grid.js";

const LONGEST = 6000, MOST_NAMES = 200, MOST_VALUES = 200;
const KIND = [["number", "log"], ["whole", "whole-log"]];

// A value as somebody would type it, so that it is read as what it is.
function typed(value) {
  if (typeof value !== "string") return stringify(value);
  try {
    const [one, ...more] = values(value);
    if (one === value && !more.length) return value;
  } catch (error) { /* it needs quotes */ }
  return JSON.stringify(value);
}

function row([name, spec]) {
  if (!name || typeof spec !== "object" || spec === null) throw new Error("no parameter");
  const {low, high, log = false, whole = false, values: list = [], when = {}} = spec;
  if (!Array.isArray(list) || list.length > MOST_VALUES) throw new Error("no list of values");
  const made = {name, kind: "list", values: list.map(typed).join(", "), low: "", high: "",
    when: Object.entries(when).map(([other, some]) => other + "=" + some.map(typed).join(",")).join(" ")};
  if (low === undefined) {
    if (!list.length) throw new Error("no values");
    return made;
  }
  const ends = [low, high];
  if (!ends.every((end) => isNumber(end) && isNumeral(String(end)) && (!whole || isWhole(end)))
    || Number(low) >= Number(high) || (log && Number(low) <= 0)) throw new Error("no range");
  return {...made, kind: KIND[Number(whole)][Number(log)],
    low: String(low), high: String(high)};
}

/** {sampled, rows: [{name, kind, values, low, high, when}]}, as texts of the form; null where the text says
 * nothing that the form could have. */
export function prefill(text) {
  if (text.length > LONGEST) return null;
  try {
    const {sampled, parameters} = parse(text), rows = Object.entries(parameters).map(row);
    return rows.length && rows.length <= MOST_NAMES ? {sampled: sampled === true, rows} : null;
  } catch (error) { return null; }  // somebody's own text in an address
}
