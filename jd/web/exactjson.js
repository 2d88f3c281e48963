// JSON whose numbers stay as they are written. JavaScript reads 1798406481619217041 as ...217200 and 1.0 as
// 1, and would write these back; a script is to be given what somebody wrote.

/** A number that JavaScript would write otherwise: its text, and by `Number(it)` what is near it. */
export class Exact {
  constructor(text) { this.text = text; }
  valueOf() { return Number(this.text); }
  toString() { return this.text; }
}

/** The number that a JSON text of one stands for. */
export const exactNumber = (text) => (String(Number(text)) === text ? Number(text) : new Exact(text));

/** Whether a value is a number of either kind. */
export const isNumber = (value) => typeof value === "number" || value instanceof Exact;

/** A number of either kind that is whole, as Python sees it: 1.0 is not. */
export const isWhole = (value) =>
  (value instanceof Exact ? /^-?\d+$/.test(value.text) : Number.isInteger(value));

const TOKEN = /[{}[\],:]|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s{}[\],:"]+/g;
// What a number has that Python writes otherwise than JavaScript does.
const SUSPECT = /\d{16}|\d\.\d*0(?!\d)|\d[eE]|-0(?![.\d])/;

/** The value of a JSON text. Numbers that JavaScript would write otherwise are Exact: all of them, or those
 * below these names of an answer of ours. Throws what JSON.parse throws. */
export function parse(text, names) {
  const value = JSON.parse(text);  // it finds what is wrong, and is fast
  if (names && !SUSPECT.test(text)) return value;
  const tokens = new RegExp(TOKEN), wanted = new Set(names), numbers = new Map();
  const next = () => tokens.exec(text)[0];

  function number(token) {
    if (!numbers.has(token)) numbers.set(token, exactNumber(token));
    return numbers.get(token);
  }

  function object(exact) {
    const made = {};
    for (let token = next(); token !== "}"; token = next()) {
      const name = JSON.parse(token === "," ? next() : token);
      next();  // the colon
      const one = read(next(), exact || wanted.has(name));
      // An assignment to __proto__ would make no property.
      Object.defineProperty(made, name, {value: one, writable: true, enumerable: true, configurable: true});
    }
    return made;
  }

  function list(exact) {
    const made = [];
    for (let token = next(); token !== "]"; token = next()) {
      made.push(read(token === "," ? next() : token, exact));
    }
    return made;
  }

  function read(token, exact) {
    if (token === "{") return object(exact);
    if (token === "[") return list(exact);
    return exact && /[-\d]/.test(token[0]) ? number(token) : JSON.parse(token);
  }

  return read(next(), !names);
}

/** The JSON text of a value, with each Exact as it was written; `indent` is what a level is indented by. */
export function stringify(value, indent = "", margin = "\n") {
  if (value instanceof Exact) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = margin + indent, colon = indent ? ": " : ":";
  const [open, close, parts] = Array.isArray(value)
    ? ["[", "]", value.map((one) => stringify(one, indent, inner))]
    : ["{", "}", Object.entries(value).filter(([, one]) => one !== undefined)
      .map(([name, one]) => JSON.stringify(name) + colon + stringify(one, indent, inner))];
  if (!parts.length) return open + close;
  return indent ? open + inner + parts.join("," + inner) + margin + close : open + parts.join(",") + close;
}
