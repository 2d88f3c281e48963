// What a row of the form says of a name of a space (jd/space.py), as the server takes it.

import {exactNumber} from "../../exactjson.js";
import {isNumeral, values} from "./grid.js";

/** What a name can be, with the words that people choose from. */
export const KINDS = [["list", "one of a list"], ["number", "any number"], ["log", "any number, log"],
  ["whole", "whole number"], ["whole-log", "whole number, log"]];

/** The range from one text to another. Throws an Error for people. */
export function range(kind, low, high) {
  const whole = kind.startsWith("whole");
  const [from, to] = [["lowest", low], ["highest", high]].map(([name, text]) => {
    if (text === "") throw new Error(`Give the ${name} value.`);
    if (!isNumeral(text)) throw new Error(`${text.slice(0, 40)} is no number.`);
    if (!whole) return decimal(text);
    if (!Number.isInteger(Number(text))) throw new Error(`${text.slice(0, 40)} is no whole number.`);
    return /^[+-]?\d+$/.test(text) ? exactNumber(text.replace(/^\+/, "")) : Number(text);
  });
  if (Number(from) >= Number(to)) throw new Error("The lowest value must be below the highest.");
  if (kind.endsWith("log") && Number(from) <= 0) throw new Error("With log, the lowest value is above 0.");
  return {low: from, high: to, ...(kind.endsWith("log") ? {log: true} : {})};
}

// Two whole ends would make a range of whole numbers: 1 is sent as 1.0.
function decimal(text) {
  const near = Number(text);
  return Number.isInteger(near) && Math.abs(near) < 1e21 ? exactNumber(String(near) + ".0") : near;
}

/** The conditions of a text such as `opt=sgd,adam depth=2`: {opt: ["sgd", "adam"], depth: [2]}; null for
 * none. Throws an Error for people. */
export function conditions(text) {
  const found = {};
  for (const term of text.trim().match(/(?:[^\s"]|"(?:[^"\\]|\\.)*"?)+/g) || []) {
    const [, name, list] = /^([\w.-]+)=(.+)$/u.exec(term) || [];
    if (!name) throw new Error(`${term.slice(0, 40)}: give a name and its values, as in opt=sgd,adam.`);
    found[name] = values(list);
  }
  return Object.keys(found).length ? found : null;
}
