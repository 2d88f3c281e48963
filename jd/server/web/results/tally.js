// How many jobs have the metric, and what is with the others.

import {count, number} from "../format.js";

/** A line about an answer of /web/results/columns. */
export function tally({metric, total, shown, jobs, nan, infinite, without, not_done: notDone}) {
  const waiting = jobs - total - nan - infinite - without;
  const others = [[nan, "NaN"], [infinite, "infinite"], [without, "done without it"], [waiting, "not done"]]
    .filter(([n]) => n > 0).map(([n, words]) => `${number(n)} ${words}`);
  const have = total === 1 ? "has" : "have";
  const said = others.length
    ? `${number(total)} of ${count(jobs, "job")} ${have} ${metric}: ${others.join(", ")}`
    : `${count(total, "job")} with ${metric}`;
  const unfinished = notDone
    ? `. ${number(notDone)} with it ${notDone === 1 ? "is" : "are"} not done: status=DONE leaves ` +
      (notDone === 1 ? "it out" : "them out") : "";
  const sampled = shown < total
    ? `. Points and lines are ${number(shown)} of all, the best and the worst among these` : "";
  return said + unfinished + sampled;
}
