// Marks of an axis of time. Pure functions, in the time zone of the browser.

const MINUTE = 60, HOUR = 3600, DAY = 86400;
const STEPS = [1, 5, 15, 30, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR];
const DAYS = [1, 2, 7, 14, 30, 90, 180, 365, 730];
const format = (parts) => new Intl.DateTimeFormat("en-GB", parts);
const SECOND = format({hour: "2-digit", minute: "2-digit", second: "2-digit"});
const CLOCK = format({hour: "2-digit", minute: "2-digit"});
const DATE = format({day: "numeric", month: "short"}), MONTH = format({month: "short", year: "numeric"});
const FULL = format({day: "numeric", month: "short", year: "numeric"});

const dateOf = (t) => new Date(t * 1000);

/** About `count` round times from one to another, both in Unix seconds, or fewer: [{at, text}]. Midnight has
 * the date. */
export function timeMarks(from, to, count) {
  const raw = (to - from) / Math.max(1, count), step = STEPS.find((one) => one >= raw);
  if (!step) return dayMarks(from, to, raw / DAY);
  const shift = dateOf(from).getTimezoneOffset() * 60, found = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step) {
    const date = dateOf(at), midnight = !date.getHours() && !date.getMinutes() && !date.getSeconds();
    found.push({at, text: (midnight ? DATE : step < MINUTE ? SECOND : CLOCK).format(date)});
  }
  return found;
}

// Days are not all of the same length.
function dayMarks(from, to, raw) {
  const step = DAYS.find((one) => one >= raw) || Math.ceil(raw), date = dateOf(from), found = [];
  date.setHours(0, 0, 0, 0);
  if (date / 1000 < from) date.setDate(date.getDate() + 1);
  for (; date / 1000 <= to; date.setDate(date.getDate() + step)) {
    found.push({at: date / 1000, text: (step > 30 ? MONTH : DATE).format(date)});
  }
  return found;
}

/** The days that a range is in: "27 Nov 2026", "27 Nov 2026 – 3 Dec 2026". */
export function daysOf(from, to) {
  const [first, last] = [from, to].map((t) => FULL.format(dateOf(t)));
  return first === last ? first : `${first} – ${last}`;
}
