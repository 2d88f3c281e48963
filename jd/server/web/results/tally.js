// How many jobs have the metric, and what is with the others.

import {count, number} from "../format.js";

/** A line about an answer of /web/results/columns; `finite` jobs of it are drawn. */
export function tally(answer, finite) {
  const {metric, total, shown, jobs, nan, infinite, without} = answer;
  const have = shown < total
    ? `${number(shown)} of ${number(total)} jobs with ${metric} shown (sampled evenly)`
    : `${count(finite, "job")} with ${metric}`;
  const waiting = jobs - total - nan - infinite - without;
  const others = [[nan, "NaN"], [infinite, "infinite"], [without, "done without it"], [waiting, "not done"]]
    .filter(([n]) => n > 0).map(([n, words]) => `${number(n)} ${words}`);
  return others.length ? `${have}, of ${number(jobs)}: ${others.join(", ")}` : have;
}
