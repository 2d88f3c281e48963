// What the timeline of workers draws and says, of an answer of /web/history/workers. Pure functions.

import {count, duration, number, percent} from "../format.js";

const LEAST = 1;  // seconds of a window
const EVENTS = [[/^started$|^heard of again$/, "come"], [/pause$/, "pause"],
  [/^stopped$|^left |^heartbeat lost$|^found dead$| from the CLI$/, "go"]];

const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);

/** The share of its time that a row was busy, 0..1; NaN where it was never there. */
export const busyShare = ({busy, there}) => (there > 0 ? Math.min(1, sum(busy) / there) : NaN);

/** How many attempts of a row failed or were lost. */
export const bad = ({attempts}, kinds) =>
  attempts[kinds.indexOf("failed")] + attempts[kinds.indexOf("lost")];

/** When a worker was there and had no job, of its times and its attempts, both [from, to] in any order. */
export function gaps(present, attempts) {
  const order = attempts.slice().sort((a, b) => a[0] - b[0]), found = [];
  for (const [from, to] of present) {
    let at = from;
    for (const [start, end] of order) {
      if (start >= to) break;
      if (start > at) found.push([at, start]);
      at = Math.max(at, end);
    }
    if (at < to) found.push([at, to]);
  }
  return found;
}

/** A window `factor` times as long about one of its moments, which stays where it is. */
export function zoomed([from, to], factor, about = (from + to) / 2) {
  const span = Math.max(LEAST, (to - from) * factor), place = (about - from) / (to - from);
  return [about - span * place, about + span * (1 - place)];
}

/** A window moved by a share of its length. */
export const moved = ([from, to], share) => [from + (to - from) * share, to + (to - from) * share];

/** What a line of a worker's history is to the eye: "come", "go", "pause"; null: nothing. */
export const eventKind = (event) => (EVENTS.find(([test]) => test.test(event)) || [null, null])[1];

/** A worker or host for a tight place, without the domain of the host: "node1.example.org_egg_0" →
 * "node1_egg_0". Addresses stay whole. */
export const short = (name) => (/^\d+\.\d+\.\d+\.\d+/.test(name) ? name
  : name.replace(/\.[A-Za-z0-9.-]+(?=_[^_]*_\d+$|$)/, ""));

/** How busy the workers were, in a sentence. */
export function utilisation(total, from, to) {
  const {workers, hosts, removed} = total, share = busyShare(total);
  if (!workers) return "No worker was there in this time.";
  const known = Number.isNaN(share) ? "" : `busy ${percent(share)} of the time that they were there`;
  const said = `${count(workers, "worker")} on ${count(hosts, "host")} in ${duration(to - from)}`;
  const gone = removed ? ` ${number(removed)} of them ${removed === 1 ? "is" : "are"} no longer in the list: `
    + "when they were idle is not known, and they do not count here." : "";
  return [said, known].filter(Boolean).join(", ") + "." + gone;
}
