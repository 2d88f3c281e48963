// The Settings page: how jobs are given out, the PIN, what the server has done so far, a backup, the theme.

import {me, setTheme, theme} from "../app.js";
import {ask, button, el} from "../common.js";
import {numberForm, switches} from "./forms.js";
import {pinForm} from "./pin.js";
import {ruleSoFar, serverFacts, trafficTable, wrongPinFacts} from "./serverfacts.js";

const EVERY = 10000;  // milliseconds between two looks at the server's figures

// Settings that take a number: name, label, unit, what it means.
const JOBS = [
  ["lease", "Lease", "seconds", "A running job that is not heard of for so long goes back to pending. "
    + "Busy workers speak three times in it, and at least once a minute. It is 3 s or more."],
  ["retry_pause", "Pause before a retry", "seconds",
    "How long a job that has failed twice waits before it is tried again."],
  ["max_attempts", "Attempts", "failures", "How often a job may fail before it stays aborted."],
  ["max_interruptions", "Interruptions", "times",
    "How often a job may lose its worker, which is no failure, before it stays aborted."],
];
const RULE = [
  ["stop_when", "Target", "", "A filter, such as accuracy>0.95: the sweep ends when a job that has run "
    + "matches it, also while it still runs. Empty: no target."],
  ["max_jobs", "Jobs", "jobs done", "The sweep ends when so many jobs are done. 0: no limit."],
  ["max_hours", "Computing", "hours", "The sweep ends when all attempts together have taken so many hours. "
    + "0: no limit."],
];
const FAILING = [
  ["failing_after", "Failing after", "failures",
    "So many failures in a row, while other workers succeed, mark a worker as failing."],
];
// Settings that are on or off: name, label, what it means.
const RUNNING = [
  ["paused", "Pause the experiment", "No job is given out. Running jobs go on, workers wait."],
  ["stop_when_done", "Stop workers when everything is done",
    "When no job is pending, running or due for a retry, every worker is told to stop."],
];
const PAUSES = [
  ["pause_failing", "Pause failing workers",
    "A worker that counts as failing is told to pause by the server itself."],
  ["pause_broken", "Pause a broken sweep",
    "When the first ten attempts after jobs were created have all failed, the experiment pauses itself."],
];
const THEMES = [["", "System"], ["light", "Light"], ["dark", "Dark"]];

/** Fills `main` with the page; the shell calls what it returns. */
export async function show(main) {
  const first = await ask("settings");
  const jobs = numberForm(JOBS, first), running = switches(RUNNING, first);
  const rule = numberForm(RULE, first), soFar = el("p", {class: "hint set-gap", id: "rule-so-far"});
  const failing = numberForm(FAILING, first), pausing = switches(PAUSES, first);
  const server = el("dl", {class: "facts"}), traffic = el("div", {class: "scroll"}), wrong = el("div");
  main.append(
    el("div", {class: "head"}, el("h1", {}, "Settings")),
    el("div", {class: "settings"},
      el("div", {},
        card("While it runs", running.node), card("Jobs", jobs.node),
        card("When the sweep ends by itself", rule.node, soFar),
        card("Failing workers", pausing.node, failing.node), themeCard()),
      el("div", {},
        card("Server", server), card("Traffic", traffic), card("Backup", ...backup()),
        card("Change the PIN", wrong, pinForm((me && me.expId) || "dashboard")),
        card("Metrics for Prometheus", ...prometheus()))));
  const fill = (found) => {
    for (const part of [jobs, running, rule, failing, pausing]) part.fill(found);
    soFar.textContent = ruleSoFar(found);
    server.replaceChildren(...serverFacts(found, me && me.expId));
    traffic.replaceChildren(trafficTable(found.traffic));
    wrong.replaceChildren(...wrongPinFacts(found.wrong_pins || {}));
  };
  fill(first);
  const load = async () => fill(await ask("settings"));
  const timer = setInterval(() => { if (!document.hidden) load().catch(() => {}); }, EVERY);
  return {
    refresh: (changes, previous) =>
      (!previous || changes.settings !== previous.settings ? load() : undefined),
    close: () => clearInterval(timer),
  };
}

const card = (title, ...content) => el("section", {class: "card"},
  el("div", {class: "card-head"}, el("h2", {}, title)), el("div", {class: "card-body"}, ...content));

function backup() {
  return [
    el("p", {class: "hint"}, "A consistent copy of the database, made while the server runs: jobs, "
      + "parameters, results, history. Uploaded files are not in it."),
    el("p", {class: "set-gap"},
      el("a", {class: "button", href: "/web/backup", download: true}, "Download a backup"))];
}

function prometheus() {
  return [el("p", {class: "hint"},
    "The port for workers answers ", el("code", {}, "GET /metrics"), " in Prometheus' text format: jobs by "
    + "status, workers by state, attempts by verdict, requests, sizes. It asks for the same token as workers "
    + "send, or for one of its own (", el("code", {}, "--metrics-token-file"), ").")];
}

function themeCard() {
  const choices = el("div", {class: "seg", role: "group", "aria-label": "Theme"});
  const draw = () => [...choices.children].forEach((one, at) =>
    one.setAttribute("aria-pressed", String(THEMES[at][0] === theme())));
  choices.append(...THEMES.map(([name, text]) => button(text, () => { setTheme(name); draw(); })));
  draw();
  document.addEventListener("theme", function follow() {
    if (choices.isConnected) draw();
    else document.removeEventListener("theme", follow);  // the page was left
  });
  return el("section", {class: "card"},
    el("div", {class: "card-head"}, el("h2", {class: "grow"}, "Theme"), choices));
}
