// Axes of numbers that are seconds. Pure functions.

import {duration} from "../format.js";
import {ticks} from "../svg.js";
import {timeMarks} from "./timeaxis.js";

const DAY = 86400;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY];

// The step of about `count` marks: of a day or more by round numbers of days.
function stepOf(span, count) {
  const raw = span / Math.max(1, count), found = STEPS.find((step) => step >= raw * 0.999);
  if (found) return found;
  const days = raw / DAY, power = 10 ** Math.floor(Math.log10(days));
  return DAY * power * [1, 2, 5, 10].find((times) => times * power >= days * 0.999);
}

// About `count` marks between two durations.
function durationTicks(low, high, count) {
  if (!(high > low)) return [low];
  if ((high - low) / Math.max(1, count) < 1) return ticks(low, high, count);
  const step = stepOf(high - low, count), first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({length: Math.max(0, last - first + 1)}, (_, at) => (first + at) * step);
}

/** An axis of numbers (axis.js) with marks of time: of "relative" durations, or of the "time" of day, which
 * are Unix seconds. `words(mark)` is the text of one of its last marks. */
export function timed(axis, kind) {
  if (kind === "relative") {
    const own = axis.log ? axis.ticks : (count) => durationTicks(axis.low, axis.high, count);
    return {...axis, ticks: own, words: duration};
  }
  const texts = new Map();
  const marks = (count) => timeMarks(axis.low, axis.high, count).map(({at, text}) => {
    texts.set(at, text);
    return at;
  });
  return {...axis, ticks: marks, words: (at) => texts.get(at)};
}
