// How a worker looks wherever it is shown: its state, what is queued for it, its failures, its times.

import {el} from "../common.js";
import {number} from "../format.js";

const STEPS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

/** How long ago, shortly: "now", "12 s ago", "4 d ago"; in full when pointed at. Nothing is "–". */
export function since(now, then) {
  if (then == null) return el("span", {class: "none"}, "–");
  const seconds = Math.max(0, Math.round(now - then));
  const [size, unit] = STEPS.find(([from]) => seconds >= from) || [1, "s"];
  const date = new Date(then * 1000);
  const text = seconds < 1 ? "now" : `${Math.floor(seconds / size)} ${unit} ago`;
  return el("time", {datetime: date.toISOString(), title: date.toLocaleString()}, text);
}

/** The state as mark and word; beside it how far the latest command is, until it is in effect, and `more`. */
export function state(worker, more, now) {
  const {queued, left_at: left, requested_at: asked, acknowledged_at: taken, done_at: done} = worker;
  const waits = queued ? el("span", {class: "badge warn"}, "queued " + queued) : null;
  // A state that is not in effect yet, such as draining, says since when.
  const open = now !== undefined && left == null && asked != null && done == null;
  const when = open ? el("span", {class: "hint wsince"}, since(now, queued ? asked : taken)) : null;
  return el("span", {class: "wstates"},
    el("span", {class: "status wstate " + worker.state}, worker.state), waits, when, more);
}

/** A share in percent with a bar; nothing is "–". */
export function load(percent) {
  if (percent == null) return el("span", {class: "none"}, "–");
  const bar = el("i");
  bar.style.setProperty("--share", Math.max(0, Math.min(1, percent / 100)).toFixed(2));
  return el("span", {class: percent >= 90 ? "wload high" : "wload"}, Math.round(percent) + " %", bar);
}

/** Why a failing worker stands out; null where it does not. */
export function failing(worker) {
  if (!worker.failing) return null;
  const failures = number(worker.failures_in_row);
  return el("span", {class: "badge bad"}, `${failures} failures in a row while others succeed`);
}

/** A link to a job; nothing → "–". */
export const job = (id) =>
  (id == null ? el("span", {class: "none"}, "–") : el("a", {href: "/jobs/" + id}, "#" + id));
