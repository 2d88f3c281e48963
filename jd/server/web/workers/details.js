// One worker in a panel at the side: facts, the latest command step by step, metrics, log, recent jobs,
// history.

import {keeping} from "../charts/controls.js";
import {ask, button, el, fail} from "../common.js";
import {count, duration, number, status, when} from "../format.js";
import {live} from "../live.js";
import * as commands from "./commands.js";
import {failing, job, since, state} from "./format.js";
import {workerLog} from "./log.js";
import {metricPlots} from "./metrics.js";

const VERB = {run: "Resume", pause: "Pause", drain: "Drain", stop: "Stop"};

const EVERY = 15000;  // milliseconds: the times that are shown go by without a change on the server

/** Open the panel of worker `id`. Gives {refresh(), close(), dismiss()}; `after()` is called after a command,
 * `onclose()` when somebody has closed the panel, which `dismiss` does too. */
export function details(id, {after, onclose}) {
  const opener = document.activeElement;
  const body = el("div", {class: "side-body wside", "aria-busy": "true"},
    el("p", {class: "hint"}, "Loading…"));
  const acts = el("div", {class: "toolbar"});
  const close = () => {
    clearInterval(timer);
    log.close();
    panel.remove();
  };
  const dismiss = () => {
    close();
    onclose();
    if (opener && opener.isConnected) opener.focus();
  };
  const shut = el("button", {type: "button", class: "quiet", "aria-label": "Close", title: "Close (Esc)",
    onclick: dismiss}, "✕");
  const panel = el("aside", {class: "side", "aria-label": "Worker " + id},
    el("div", {class: "side-head"}, el("h2", {class: "grow mono wtitle"}, id), shut), body);
  const log = workerLog(id);
  const parts = new Parts(body, acts, log.node, () => { load(); after(); });
  let asked = 0;
  const load = async () => {
    const mine = (asked += 1);
    try {
      const worker = await ask("worker?id=" + encodeURIComponent(id));
      if (mine === asked) parts.show(worker);
    } catch (error) {
      if (mine !== asked) return;
      if (parts.shown) fail(error);
      else body.replaceChildren(el("p", {class: "problem", role: "alert"}, error.message));
    }
    body.setAttribute("aria-busy", "false");
  };
  const timer = setInterval(() => { if (!document.hidden) load(); }, EVERY);
  document.body.append(panel);
  shut.focus();
  load();
  return {refresh: load, close, dismiss};
}

/** The sections of the panel; one is drawn anew when what it shows has changed. */
class Parts {
  constructor(body, acts, log, after) {
    Object.assign(this, {body, acts, log, after, shown: null, drawn: {}});
    const names = ["facts", "command", "metrics", "jobs", "history"];
    this.places = Object.fromEntries(names.map((name) => [name, el("section")]));
  }

  show(worker) {
    if (!this.shown) {
      const {facts: head, command, metrics, ...rest} = this.places;
      this.body.replaceChildren(this.acts, head, command, metrics, this.log, ...Object.values(rest));
    }
    this.log.hidden = worker.left_at != null;
    this.shown = worker;
    const now = live.now();
    this.actions(worker);
    const {desired_version: version, pending, acknowledged_at: taken, done_at: done, queued} = worker;
    const series = worker.series || {}, {t = []} = series;
    this.draw("facts", [worker.last_seen, worker.state, worker.current_job_id, worker.jobs_done,
      worker.failing, Math.floor(now / 10)], () => facts(worker, now));
    this.draw("command", [version, pending, taken, done, queued], () => timeline(worker));
    this.draw("metrics", [t.length, t[t.length - 1]], () =>
      [el("h3", {}, "System metrics"), ...metricPlots(series, worker.metrics || {})]);
    this.draw("jobs", worker.recent_jobs, () => recent(worker.recent_jobs));
    this.draw("history", [worker.history.length, (worker.history[0] || {}).timestamp], () =>
      history(worker.history));
  }

  /** Put what `make` gives into a section, if `shown` has changed and nobody is busy in there. */
  draw(name, shown, make) {
    const place = this.places[name], key = JSON.stringify(shown), before = this.drawn[name];
    if (before === key || (before !== undefined && place.contains(document.activeElement))) return;
    this.drawn[name] = key;
    const opened = Boolean(place.querySelector("details[open]"));
    keeping(place, () => place.replaceChildren(...make().filter(Boolean)));
    if (opened) place.querySelector("details").open = true;
  }

  actions(worker) {
    const {worker_id: id, desired_state: wanted, queued, left_at: left, jobs_failed: failed} = worker;
    const key = [id, wanted, queued, left, failed > 0].join();
    if (key === this.drawn.acts) return;
    this.drawn.acts = key;
    const entries = commands.entries(worker, this.after).filter(Boolean);
    this.acts.hidden = !entries.length;
    const focused = this.acts.contains(document.activeElement);
    this.acts.replaceChildren(...entries.map(([text, onclick, kind]) => button(text, onclick, kind)));
    if (focused && entries.length) this.acts.firstChild.focus();
  }
}

function facts(worker, now) {
  const pairs = [
    ["State", state(worker)],
    worker.left_at == null ? ["Current job", job(worker.current_job_id)]
      : ["Left", when(worker.left_at), ` · ${worker.left_reason || "no reason known"}`],
    ["Last seen", since(now, worker.last_seen)],
    ["Host", worker.host],
    worker.instance ? ["Instance, slot", `${worker.instance}, ${worker.slot ?? "–"}`] : null,
    ["Machine type", worker.machine_type || "–"],
    ["Jobs", `${number(worker.jobs_done)} done, ${number(worker.jobs_failed)} failed`],
    ["First seen", when(worker.first_seen)],
    ["Version", worker.version]];
  const entries = pairs.filter(Boolean).flatMap(([term, ...value]) =>
    [el("dt", {}, term), el("dd", {}, ...value)]);
  const banner = worker.failing ? el("p", {class: "banner bad"}, failing(worker)) : null;
  return [banner, el("dl", {class: "facts"}, ...entries)];
}

/** The latest command: asked for, taken by the worker, in effect. */
function timeline(worker) {
  const {requested_at: requested, acknowledged_at: taken, done_at: done, requested_by: who} = worker;
  const {queued, desired_state: wanted} = worker;
  if (requested == null) return [];
  const step = (text, at, waiting) => el("li", {class: at == null ? "open" : "past"},
    el("span", {}, text), at == null ? el("span", {class: "hint"}, waiting) : when(at));
  const verb = VERB[queued || wanted] || wanted;
  const took = done == null ? "" : `, ${duration(Math.max(0, done - requested))} after it was asked for`;
  const soon = worker.state === "busy" ? "when the running job has ended" : "soon after";
  const gone = worker.left_at != null;
  return [el("h3", {}, "Latest command"), el("ol", {class: "wsteps"},
    step(`${verb} requested` + (who ? ` by ${who}` : ""), requested, ""),
    step("Acknowledged by the worker", taken, gone ? "never" : "at its next heartbeat"),
    step("In effect" + took, done, gone ? "never" : soon))];
}

function recent(jobs) {
  const title = el("h3", {}, "Recent jobs");
  if (!jobs.length) return [title, el("p", {class: "hint"}, "None has ended on this worker yet.")];
  const heads = ["Job", "Now", "Ended there as", "Ended"].map((text) => el("th", {scope: "col"}, text));
  const row = (one) => el("tr", {},
    el("td", {}, job(one.id)), el("td", {}, status(one.status)),
    el("td", {}, one.verdict || "–"), el("td", {}, when(one.ended)));
  return [title, el("div", {class: "scroll"}, el("table", {class: "data"},
    el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...jobs.map(row))))];
}

function history(lines) {
  const entry = (line) => el("li", {},
    when(line.timestamp), el("span", {}, line.event), el("span", {class: "hint"}, line.source));
  return [el("h3", {}, `History, ${count(lines.length, "line")}`),
    el("ol", {class: "whistory"}, ...lines.map(entry))];
}
