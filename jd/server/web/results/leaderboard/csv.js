// Tables as CSV, as the server writes them (jd/csvcells.py). Pure functions.

import {stringify} from "../../exactjson.js";

// What a spreadsheet takes for a formula, also behind blanks and what nobody sees; -1.5 is none.
const UNSEEN = "\\s\\x00-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f"
  + "\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb"
  + "\\u{e0000}-\\u{e0fff}";
const FORMULA = new RegExp(`^(?:[${UNSEEN}]*[=+\\-@\\uff1d\\uff0b\\uff0d\\uff20]|[\\t\\r\\n])`, "u");
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

function cell(value) {
  if (value == null) return "";
  if (typeof value !== "string") return stringify(value);
  return FORMULA.test(value) && !NUMBER.test(value) ? "'" + value : value;
}

const quoted = (text) => (/[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);

/** Rows of values, the first of which are the heads. */
export const csv = (rows) =>
  rows.map((row) => row.map((one) => quoted(cell(one))).join(",") + "\r\n").join("");
