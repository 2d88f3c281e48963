// What is to come, in words. Pure functions.

import {duration, number} from "../format.js";

/** How long it takes until all is finished, or why nobody can tell; "" where there is nothing to say. `now`
 * is the server's time. */
export function outlook({jobs, total, finished, next_retry: next, paused, workers, eta}, now) {
  if (finished >= total || paused) return "";
  const {busy, idle, paused: resting} = workers;
  if (!busy && !idle) return resting ? "all workers are paused" : "waiting for workers";
  if (!jobs.PENDING && !jobs.SERVED && next != null) {
    return "first retry in " + duration(Math.max(1, Math.round(next - now)));
  }
  return eta == null ? "" : "about " + duration(eta) + " left";
}

/** Workers by what they do, as [number, word]; where none is active, how many have left. */
export function hands({busy, idle, paused, active, disabled}) {
  if (!active) return disabled ? [[disabled, disabled === 1 ? "worker has left" : "workers have left"]] : [];
  const rest = active - busy - idle - paused;
  return [[busy, "busy"], [idle, "idle"], [paused, "paused"], [rest, "leaving"]]
    .filter(([n], at) => n || at < 2);
}

/** How many of the jobs that are aborted come back by themselves. */
export const returning = ({coming_back: back}) => (back ? number(back) + " retrying" : "");
