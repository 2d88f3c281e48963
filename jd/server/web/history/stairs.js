// The best so far as lines and words, of an answer of /web/history/best. Pure functions.

import {metricWantsLog} from "../charts/axis.js";
import {count, duration, number} from "../format.js";

const MANY = 50;  // values from which the utmost 5 % at the worse end do not stretch the axis
const HOUR = 3600;

/** What the points stand at along the axis: "time", "jobs" or "hours"; and where it ends. */
export function along(answer, how) {
  const {at, place, spent} = answer;
  if (how === "jobs") return {values: place, low: 1, high: answer.finished};
  if (how === "hours") {
    return {values: spent.map((s) => s / HOUR), low: 0, high: answer.all_spent / HOUR};
  }
  return {values: at, low: at[0], high: answer.last_finished};
}

/** What the upright axis spans: {low, high, log, canLog}, of many values without the utmost 5 % at each end,
 * but with the best. `log`: undefined as the values suggest. */
export function upright({spread, total, values, best}, less, log) {
  const last = values[best[best.length - 1]];
  const [low, high] = total > MANY ? [spread.low, spread.high] : [spread.min, spread.max];
  const canLog = spread.min > 0;
  return {low: less ? Math.min(low, last) : low, high: less ? high : Math.max(high, last), canLog,
    log: canLog && (log === undefined ? metricWantsLog(spread) : log)};
}

/** The corners of the staircase, [x, y]: the best holds until the next one, and the last to the end. */
export function corners(xs, ys, best, end) {
  const found = [];
  best.forEach((place, index) => {
    if (index) found.push([xs[place], ys[best[index - 1]]]);
    found.push([xs[place], ys[place]]);
  });
  if (best.length) found.push([end, ys[best[best.length - 1]]]);
  return found;
}

/** How many jobs have finished since the last improvement, and how long after it the last of them did. */
export function since({finished, last_finished: last, place, at, best}) {
  const latest = best[best.length - 1];
  return {jobs: finished - place[latest], seconds: last - at[latest]};
}

/** "No better job in the last 120 jobs / 3 h". */
export function sinceWords(answer) {
  const {jobs, seconds} = since(answer);
  if (!jobs) return "The last job that finished is the best so far";
  return `No better job in the last ${jobs === 1 ? "job" : count(jobs, "job")} / ${duration(seconds)}`;
}

/** How many of the finished jobs have the metric, what is with the others, and how many have it besides. */
export function tally({metric, total, finished, shown, nan, infinite, without, aborted, unfinished}) {
  const others = [[nan, "NaN"], [infinite, "infinite"], [without, "done without it"],
    [aborted, "aborted without it"]]
    .filter(([n]) => n > 0).map(([n, words]) => `${number(n)} ${words}`);
  const have = `${number(total)} of ${count(finished, "finished job")} ${total === 1 ? "has" : "have"} `;
  const more = unfinished
    ? `; ${number(unfinished)} with it ${unfinished === 1 ? "has" : "have"} not finished` : "";
  const said = have + metric + (others.length ? ": " + others.join(", ") : "") + more;
  return shown < total ? `${said}. Points are ${number(shown)} of them, all improvements among these` : said;
}
