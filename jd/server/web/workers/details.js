// One worker in a panel at the side: facts, the latest command step by step, metrics, recent jobs, history.

import {ask, button, el, fail} from "../common.js";
import * as commands from "./commands.js";
import {count, duration, number, status, when} from "../format.js";
import {live} from "../live.js";
import {metricPlots} from "./metrics.js";
import {failing, job, since, state} from "./format.js";

const VERB = {run: "Resume", pause: "Pause", drain: "Drain", stop: "Stop"};

/** Open the panel of worker `id`. Gives {refresh(), close(), dismiss()}; `after()` is called after a command, `onclose()`
 * when somebody has closed the panel, which `dismiss` does too. */
export function details(id, {after, onclose}) {
  const opener = document.activeElement;
  const body = el("div", {class: "side-body wside", "aria-busy": "true"}, el("p", {class: "hint"}, "Loading…"));
  const acts = el("div", {class: "toolbar"});
  const dismiss = () => { close(); onclose(); if (opener && opener.isConnected) opener.focus(); };
  const shut = el("button", {type: "button", class: "quiet", "aria-label": "Close", title: "Close (Esc)", onclick: dismiss}, "✕");
  const panel = el("aside", {class: "side", "aria-label": "Worker " + id}, el("div", {class: "side-head"}, el("h2", {class: "grow mono wtitle"}, id), shut), body);
  const close = () => { clearInterval(timer); panel.remove(); };
  const parts = new Parts(body, acts, () => { load(); after(); });
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
  // The times that are shown go by without a change on the server.
  const timer = setInterval(() => { if (!document.hidden) load(); }, 15000);
  document.body.append(panel);
  shut.focus();
  load();
  return {refresh: load, close, dismiss};
}

/** The sections of the panel; one is drawn anew when what it shows has changed. */
class Parts {
  constructor(body, acts, after) {
    Object.assign(this, {body, acts, after, shown: null, drawn: {}});
    this.places = Object.fromEntries(["facts", "command", "metrics", "jobs", "history"].map((name) => [name, el("section")]));
  }

  show(worker) {
    if (!this.shown) this.body.replaceChildren(this.acts, ...Object.values(this.places));
    this.shown = worker;
    const now = live.now();
    this.actions(worker);
    this.draw("facts", worker.last_seen + String(worker.state) + worker.current_job_id + worker.jobs_done + worker.failing
      + Math.floor(now / 10), () => facts(worker, now));
    this.draw("command", [worker.desired_version, worker.pending, worker.acknowledged_at, worker.done_at, worker.queued].join(),
      () => timeline(worker));
    const {t = []} = worker.series || {};
    this.draw("metrics", [t.length, t[t.length - 1]].join(), () => [el("h3", {}, "System metrics"),
      ...metricPlots(worker.series || {}, worker.metrics || {})]);
    this.draw("jobs", JSON.stringify(worker.recent_jobs), () => recent(worker.recent_jobs));
    this.draw("history", [worker.history.length, (worker.history[0] || {}).timestamp].join(), () => history(worker.history));
  }

  draw(name, key, make) {
    const place = this.places[name];
    if (this.drawn[name] === key || (this.drawn[name] !== undefined && place.contains(document.activeElement))) return;
    this.drawn[name] = key;
    const opened = Boolean(place.querySelector("details[open]"));
    place.replaceChildren(...make().filter(Boolean));
    if (opened) place.querySelector("details").open = true;
  }

  actions(worker) {
    const key = [worker.worker_id, worker.desired_state, worker.queued, worker.left_at, worker.jobs_failed > 0].join();
    if (key === this.drawn.acts) return;
    this.drawn.acts = key;
    const entries = commands.entries(worker, this.after).filter(Boolean);
    this.acts.hidden = !entries.length;
    const focused = this.acts.contains(document.activeElement);
    this.acts.replaceChildren(...entries.map(([text, onclick, kind]) => button(text, onclick, kind)));
    if (focused && entries.length) this.acts.firstChild.focus();
  }
}

const list = (...pairs) => el("dl", {class: "facts"}, ...pairs.filter(Boolean).flatMap(([term, ...value]) =>
  [el("dt", {}, term), el("dd", {}, ...value)]));

function facts(worker, now) {
  return [worker.failing ? el("p", {class: "banner bad"}, failing(worker)) : null, list(
    ["State", state(worker)],
    worker.left_at == null ? ["Current job", job(worker.current_job_id)] : ["Left", when(worker.left_at), ` · ${worker.left_reason || "no reason known"}`],
    ["Last seen", since(now, worker.last_seen)],
    ["Host", worker.host],
    worker.instance ? ["Instance, slot", `${worker.instance}, ${worker.slot ?? "–"}`] : null,
    ["Machine type", worker.machine_type || "–"],
    ["Jobs", `${number(worker.jobs_done)} done, ${number(worker.jobs_failed)} failed`],
    ["First seen", when(worker.first_seen)],
    ["Version", worker.version])];
}

/** The latest command: asked for, taken by the worker, in effect. */
function timeline(worker) {
  if (worker.requested_at == null) return [];
  const step = (text, at, waiting) => el("li", {class: at == null ? "open" : "past"}, el("span", {}, text),
    at == null ? el("span", {class: "hint"}, waiting) : when(at));
  const took = worker.done_at != null ? `, ${duration(Math.max(0, worker.done_at - worker.requested_at))} after it was asked for` : "";
  const {queued, desired_state: wanted} = worker;
  const gone = worker.left_at != null;
  return [el("h3", {}, "Latest command"), el("ol", {class: "wsteps"},
    step(`${VERB[queued || wanted] || wanted} requested` + (worker.requested_by ? ` by ${worker.requested_by}` : ""), worker.requested_at, ""),
    step("Acknowledged by the worker", worker.acknowledged_at, gone ? "never" : "at its next heartbeat"),
    step("In effect" + took, worker.done_at, gone ? "never" : worker.state === "busy" ? "when the running job has ended" : "soon after"))];
}

function recent(jobs) {
  if (!jobs.length) return [el("h3", {}, "Recent jobs"), el("p", {class: "hint"}, "None has ended on this worker yet.")];
  return [el("h3", {}, "Recent jobs"), el("div", {class: "scroll"}, el("table", {class: "data"},
    el("thead", {}, el("tr", {}, ...["Job", "Now", "Ended there as", "Ended"].map((text) => el("th", {scope: "col"}, text)))),
    el("tbody", {}, ...jobs.map((one) => el("tr", {}, el("td", {}, job(one.id)), el("td", {}, status(one.status)),
      el("td", {}, one.verdict || "–"), el("td", {}, when(one.ended)))))))];
}

function history(lines) {
  return [el("h3", {}, `History, ${count(lines.length, "line")}`), el("ol", {class: "whistory"}, ...lines.map((line) =>
    el("li", {}, when(line.timestamp), el("span", {}, line.event), el("span", {class: "hint"}, line.source))))];
}
