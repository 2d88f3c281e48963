// What a sweep has cost in words, of an answer of /web/history/cost. Pure functions.

import {metric, percent} from "../format.js";

const NAMES = {failed: "failed", lost: "was lost", returned: "was given back"};
const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);

/** Hours for people: "0.25", "1,234". */
export const hours = (n) =>
  (n > 0 && n < 0.001 ? "< 0.001" : metric(n >= 100 ? Math.round(n) : Number(n.toPrecision(3))));

/** All hours of a row: {wall, cpu, gpu}. */
export const totals = ({wall, cpu, gpu}) => ({wall: sum(wall), cpu: sum(cpu), gpu: sum(gpu)});

/** "11 % of it failed, was lost or given back: 6 % failed, 5 % was lost"; of what has ended. */
export function wastedWords({wall, wasted}, kinds) {
  if (wasted === null) return "Nothing has ended yet";
  if (!wasted) return "Nothing of it failed, was lost or given back";
  const ended = sum(wall) - wall[kinds.indexOf("running")];
  const parts = Object.keys(NAMES).map((kind) => [kind, wall[kinds.indexOf(kind)] / ended])
    .filter(([, share]) => share > 0).map(([kind, share]) => `${percent(share)} ${NAMES[kind]}`);
  return parts.length > 1 ? `${percent(wasted)} of it was wasted: ${parts.join(", ")}`
    : parts[0] + " and was wasted";
}

/** Of how many hours CPUs or GPUs are not known; "" where all are. */
export function unknownWords(total) {
  const all = sum(total.wall);
  const parts = [["CPUs", total.no_cpus], ["GPUs", total.no_gpus]].filter(([, n]) => n > 0);
  if (!parts.length) return "";
  const shares = parts.map(([what, n]) => [what, percent(n / all)]);
  const alike = shares.length === 2 && shares[0][1] === shares[1][1];
  const of = alike ? "CPUs and GPUs of " + shares[0][1]
    : shares.map(([what, share]) => `${what} of ${share}`).join(" and ");
  return `${of} of the hours are not known and not counted: workers of other makes, or from before, `
    + "do not say what a job of theirs has";
}
