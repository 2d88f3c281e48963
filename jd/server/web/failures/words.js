// What is said of failures of one kind. No document here.

import {condition} from "../filter.js";
import {count, cut, metric, number, value} from "../format.js";

const ENDS = {oom: "out of memory", timeout: "timed out", killed: "killed", lost: "worker lost",
  preempted: "given back"};
const LONGEST = 60;  // characters of a value
const SLOT = /(<(?:time|uuid|url|host|path|text|hex|n)>)/;

/** How attempts ended: "exit 1", "out of memory", "killed by signal 11". */
export function ending({verdict, exit_code: code}) {
  if (verdict === "failed") return code == null ? "failed" : "exit " + code;
  return ENDS[verdict] + (verdict === "killed" && code < 0 ? " by signal " + -code : "");
}

/** What is said of attempts that were interrupted, above their kinds. */
export function apartWords(kinds) {
  const of = (verdict) => kinds.filter((kind) => kind.verdict === verdict)
    .reduce((sum, kind) => sum + kind.attempts, 0);
  const its = (n) => (n === 1 ? "its worker" : "their workers");
  const lost = of("lost"), back = of("preempted");
  const were = (n) => count(n, "attempt") + (n === 1 ? " was" : " were");
  const parts = [lost && `${were(lost)} lost with ${its(lost)}`,
    back && `${were(back)} given back by ${its(back)}`].filter(Boolean);
  return `${parts.join(", ")}. The script has not failed by that, so these count in nothing above; the jobs `
    + "are tried again, and stay aborted after many interruptions only.";
}

/** A form in pieces: every second one is a placeholder. */
export const pieces = (form) => form.split(SLOT);

/** Where `n` attempts failed, of places with the most first: "all 14 on node07"; the others are counted. */
export function where(places, total, n, many) {
  if (total === 1) return (n === 1 ? "on " : n === 2 ? "both on " : `all ${number(n)} on `) + places[0].name;
  const named = places.slice(0, 3), rest = total - named.length;
  const told = named.map((place) => `${place.name} (${number(place.n)})`);
  return told.join(", ") + (rest ? ` and ${number(rest)} more ${rest === 1 ? many.slice(0, -1) : many}` : "");
}

const shown = (one) => (typeof one === "number" ? metric(one) : cut(value(one), LONGEST));

/** The value that stands out: "lr = 1", "lr 0.1 to 1", "code 3fa9c2d1". */
export function what({name, is_code: isCode, low, high}) {
  if (isCode) return "code " + low;
  return low === high ? `${name} = ${shown(low)}` : `${name} ${shown(low)} to ${shown(high)}`;
}

/** How often it failed so: "12 of 14 failed so, 3 of 86 others". */
export function howOften({n, failed, others, others_failed: rest}) {
  return `${number(failed)} of ${number(n)} failed so, ${number(rest)} of ${number(others)} others`;
}

/** The jobs of a filter that failed in one way; and of those the ones with a value that stands out. */
export function jobsOf(filter, kind, one) {
  const words = [filter, "error=E" + kind];
  if (one && one.is_code) words.push(condition("code", "=", one.low));
  else if (one && one.low === one.high) words.push(written("=", one.name, one.low));
  else if (one) words.push(written(">=", one.name, one.low), written("<=", one.name, one.high));
  return words.filter(Boolean).join(" ");
}

// A text that reads as something else, such as null, stays a text in quotes.
function written(operator, name, one) {
  const plain = typeof one === "string" && /^(?:null|true|false)$/i.test(one);
  return plain ? `param.${name}${operator}"${one}"` : condition("param." + name, operator, value(one));
}
