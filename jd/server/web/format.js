// How numbers, times and values look, the same everywhere.

import {el} from "./common.js";
import {Exact, isWhole, stringify} from "./exactjson.js";

const plain = new Intl.NumberFormat("en-US");
const short = new Intl.NumberFormat("en-US", {notation: "compact", maximumFractionDigits: 1});
const NONE = "–";

/** 12345 → "12,345"; nothing → "–". */
export const number = (n) => (n == null ? NONE : plain.format(n));

/** 1234567 → "1.2 M": for axes and tight places. */
export const compact = (n) =>
  (n == null ? NONE : short.format(n).replace(/([KMBT])$/, " $1").replace("K", "k"));

/** A share 0..1 → "42 %"; 100 % only when all of it is done. */
export function percent(share) {
  if (share == null || Number.isNaN(share)) return NONE;
  const rounded = Math.round(share * 100);
  return (rounded === 100 && share < 1 ? 99 : rounded === 0 && share > 0 ? "< 1" : rounded) + " %";
}

/** A metric with the digits that matter: 0.00012345678 → "0.0001235", 1234567.8 → "1,234,568". Whole
 * numbers that JavaScript cannot hold have all of them. */
export function metric(n) {
  if (n == null) return NONE;
  if (n instanceof Exact) return isWhole(n) ? n.text : metric(Number(n));
  if (typeof n !== "number") return value(n);
  if (!Number.isFinite(n)) return String(n);
  const size = Math.abs(n);
  if (Number.isInteger(n) && size < 1e15) return plain.format(n);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return n.toExponential(3).replace(/\.?0+e/, "e");
  if (size >= 1000) return n.toLocaleString("en-US", {maximumFractionDigits: size < 1e5 ? 2 : 0});
  return String(Number(n.toPrecision(4)));
}

/** Cut the middle out of a text that must fit a place, so much that the end, which tells most in names such
 * as model.encoder.dropout_rate, keeps the larger part. */
export function cut(words, most) {
  if (words.length <= most) return words;
  const end = Math.floor((most - 1) * 0.6);
  return words.slice(0, most - 1 - end) + "…" + words.slice(words.length - end);
}

/** The parts of a long name, which breaks behind its dots and underscores first. */
export const breakable = (name) => name.split(/(?<=[._/-])/).flatMap((part) => [part, el("wbr")]);

/** Seconds → "0.4 s", "12 s", "3 min 5 s", "2 h 5 min", "3 d 4 h". */
export function duration(s) {
  if (s == null || !Number.isFinite(s)) return NONE;
  if (s < 0) return "-" + duration(-s);
  if (s < 0.001) return s === 0 ? "0 s" : "< 1 ms";
  if (s < 1) return Math.round(s * 1000) + " ms";
  if (s < 9.95) return Number(s.toFixed(1)) + " s";
  const whole = Math.round(s);
  if (whole < 60) return whole + " s";
  const steps = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
  const [size, unit, lesser, name] = steps.find(([from]) => whole >= from);
  const rest = Math.floor((whole % size) / lesser);
  return Math.floor(whole / size) + " " + unit + (rest ? " " + rest + " " + name : "");
}

/** Bytes → "512 B", "1.5 MB" (powers of 1,000). */
export function bytes(n) {
  if (n == null) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0, left = n;
  while (left >= 999.5 && at < units.length - 1) { left /= 1000; at += 1; }
  return (at && left < 10 ? left.toFixed(1) : Math.round(left)) + " " + units[at];
}

/** A parameter or result as text: text as it is, all else as JSON. */
export function value(v) {
  if (v === undefined) return NONE;
  return typeof v === "string" ? v : stringify(v);
}

const clock = new Intl.DateTimeFormat("en-GB", {hour: "2-digit", minute: "2-digit", second: "2-digit"});
const DAY = {day: "numeric", month: "short"};
const day = new Intl.DateTimeFormat("en-GB", {...DAY, hour: "2-digit", minute: "2-digit"});
const year = new Intl.DateTimeFormat("en-GB", {...DAY, year: "numeric"});

/** Unix seconds as text: today "14:03:21", this year "21 Nov, 14:03", before "21 Nov 2025". */
export function moment(t) {
  const date = new Date(t * 1000), now = new Date();
  if (date.toDateString() === now.toDateString()) return clock.format(date);
  return (date.getFullYear() === now.getFullYear() ? day : year).format(date);
}

/** Unix seconds as text to the minute: today "14:03", else as `moment`. */
export function minute(t) {
  const text = moment(t);
  return /^\d\d:\d\d:\d\d$/.test(text) ? text.slice(0, 5) : text;
}

/** Unix seconds → <time>, in full when pointed at; nothing → "–". */
export function when(t) {
  if (t == null) return el("span", {class: "none"}, NONE);
  const date = new Date(t * 1000);
  return el("time", {datetime: date.toISOString(), title: date.toLocaleString()}, moment(t));
}

const STATUS = {PENDING: "pending", SERVED: "running", DONE: "done", ABORTED: "aborted", DELETED: "deleted"};
export const STATUSES = Object.keys(STATUS);

/** PENDING → "pending"; SERVED → "running", as people say it. */
export const statusName = (status) => STATUS[status] || String(status);

/** The same of a job: one that has failed and comes back at `retryAt` is retrying. */
export const jobState = (status, retryAt) =>
  (status === "ABORTED" && retryAt != null ? "retrying" : statusName(status));

/** A status: coloured mark and word. A job that has failed and comes back at `retryAt` is retrying. */
export function status(name, retryAt) {
  if (name !== "ABORTED" || retryAt == null) {
    return el("span", {class: "status " + (STATUS[name] || "")}, statusName(name));
  }
  return el("span", {class: "status retrying", title: "tried again " + moment(retryAt)}, "retrying");
}

/** The priority of a job in words; "" for the usual one. 1000 is the highest, which Put first gives. */
export const priority = (n) => (n ? (n === 1000 ? "first" : "priority " + n) : "");

/** "1 job", "2,000 jobs"; `many` where the plural does not end in s. */
export const count = (n, one, many) => number(n) + " " + (n === 1 ? one : many || one + "s");
