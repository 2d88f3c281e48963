// What the server tells of itself: its version and database, its traffic, wrong PINs.

import {el} from "../common.js";
import {bytes, count, duration, moment, number} from "../format.js";
import {wrongPins} from "../notices.js";

const CLASSES = ["2xx", "3xx", "4xx", "5xx"];
const PARTS = {stop_when: "the target", max_jobs: "the number of jobs", max_hours: "the hours of computing"};
const PORTS = {api: "Workers (API)", dashboard: "Dashboard"};

/** Terms and values for a list of facts. */
export function serverFacts({uptime, version, viewers, database}, experiment) {
  const size = bytes(database.size_bytes), mode = String(database.journal_mode).toUpperCase();
  const pairs = [
    ["Experiment", experiment || "–"], ["Version", version], ["Running for", duration(uptime)],
    ["Looking at the dashboard", count(viewers, "page")],
    database.path ? ["Database", el("span", {class: "mono"}, database.path)] : null,
    ["Database size", `${size}, journal mode ${mode}`]];
  return pairs.filter(Boolean).flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]);
}

/** How far the sweep is by its rule. */
export function ruleSoFar({rule, stop_when: target}) {
  if (!rule) return "Jobs that wait are aborted then, and those that run may end.";
  const hours = number(Number(rule.hours.toPrecision(3)));
  const found = [`So far: ${count(rule.done, "job")} done, ${hours} hours`];
  if (target) {
    found.push(rule.problem || (rule.reached_by ? `job ${rule.reached_by} has reached ${target}`
      : `no job has reached ${target}`));
  }
  return found.join("; ") + "." + spent(rule.has_ended_by);
}

// A part of the rule that has ended the sweep, and counts no more.
function spent(names) {
  if (!names.length) return "";
  const parts = names.map((name) => PARTS[name]).join(" and ");
  return ` By ${parts} the sweep has ended once; that counts again when it is changed, the rest counts on.`;
}

/** Wrong PINs `since` the last sign-in and `before` it, each null where there was none. */
export function wrongPinFacts({since, before}) {
  const latest = since ? el("b", {}, "Since the last sign-in: " + wrongPins(since) + ".")
    : "No wrong PIN since the last sign-in.";
  const earlier = before ? el("p", {class: "hint"}, "Before that: " + wrongPins(before) + ".") : null;
  return [el("p", {class: "hint"}, latest), earlier].filter(Boolean);
}

/** What each port has answered, received and sent. */
export function trafficTable(traffic) {
  const ports = Object.entries(traffic || {}).filter(([, one]) => one && typeof one === "object");
  if (!ports.length) return el("p", {class: "hint"}, "Nothing has been counted yet.");
  const line = (label, cell) => el("tr", {},
    el("th", {scope: "row"}, label), ...ports.map(([, one]) => el("td", {class: "num"}, cell(one))));
  const since = ports[0][1].since ?? traffic.since;
  const heads = ports.map(([name]) => el("th", {scope: "col", class: "num"}, PORTS[name] || name));
  return el("table", {class: "data set-traffic"},
    since ? el("caption", {}, `Since ${moment(since)}`) : null,
    el("thead", {}, el("tr", {}, el("th", {scope: "col"}, el("span", {class: "sr"}, "What")), ...heads)),
    el("tbody", {},
      ...CLASSES.map((name) => line(`Answers ${name}`, (one) => number((one.requests || one)[name] ?? 0))),
      line("Received", (one) => bytes(one.bytes_in)), line("Sent", (one) => bytes(one.bytes_out)),
      line("Open connections", (one) => number(one.connections ?? one.open_connections ?? 0))));
}
