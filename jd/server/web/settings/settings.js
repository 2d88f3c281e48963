// Settings of the experiment, the PIN, what the server did so far, a backup, the theme.

import {ask, button, el, fail, field, toast} from "../common.js";
import {me, setTheme, theme} from "../app.js";
import {wrongPins} from "../notices.js";
import {bytes, count, duration, moment, number} from "../format.js";

// Those that take a number: name, label, unit, what it is about.
const NUMBERS = [
  ["lease", "Lease", "seconds", "A running job that is not heard of for so long goes back to pending. Busy workers speak at least once a minute."],
  ["retry_pause", "Pause before a retry", "seconds", "How long a failed job waits before it is tried again."],
  ["max_attempts", "Attempts", "failures", "How often a job may fail before it stays aborted."],
  ["max_interruptions", "Interruptions", "times", "How often a job may lose its worker, which is no failure, before it stays aborted."],
];
const FAILING = ["failing_after", "Failing after", "failures", "So many failures in a row, while other workers succeed, mark a worker as failing."];
const RUNNING = [
  ["paused", "Pause the experiment", "No job is given out. Running jobs go on, workers wait."],
  ["stop_when_done", "Stop workers when everything is done", "When no job is pending, running or due for a retry, every worker is told to stop."],
];
const PAUSE_FAILING = [
  ["pause_failing", "Pause failing workers", "A worker that counts as failing is told to pause by the server itself."],
];

/** Fills `main` with the page; the shell calls what it returns. */
export async function show(main) {
  const first = await ask("settings");
  const jobs = numbers(NUMBERS, first), running = switches(RUNNING, first), failing = numbers([FAILING], first),
    pausing = switches(PAUSE_FAILING, first), parts = [jobs, running, failing, pausing];
  const server = el("dl", {class: "facts"}), traffic = el("div", {class: "scroll"}), wrong = el("div");
  main.append(el("div", {class: "head"}, el("h1", {}, "Settings")), el("div", {class: "settings"},
    el("div", {}, card("While it runs", running.node), card("Jobs", jobs.node), card("Failing workers", pausing.node, failing.node),
      appearance()),
    el("div", {}, card("Server", server), card("Traffic", traffic), card("Backup", ...backup()), card("Change the PIN", wrong, pin()),
      card("Metrics for Prometheus", ...prometheus()))));
  const fill = (found) => {
    for (const part of parts) part.fill(found);
    server.replaceChildren(...serverFacts(found));
    traffic.replaceChildren(trafficTable(found.traffic));
    wrong.replaceChildren(...wrongFacts(found.wrong_pins || {}));
  };
  fill(first);
  const load = async () => fill(await ask("settings"));
  const timer = setInterval(() => { if (!document.hidden) load().catch(() => {}); }, 10000);
  return {
    refresh: (changes, previous) => (!previous || changes.settings !== previous.settings ? load() : undefined),
    close: () => clearInterval(timer),
  };
}

const card = (title, ...content) => el("section", {class: "card"}, el("div", {class: "card-head"}, el("h2", {}, title)),
  el("div", {class: "card-body"}, ...content));

// ---- settings that are stored

/** A form of numbers that are saved together. What somebody is changing is not overwritten by a refresh. */
function numbers(wanted, first) {
  const made = wanted.map((one) => numberRow(...one, () => changed()));
  const problem = el("p", {class: "problem", role: "alert"});
  const save = el("button", {class: "primary"}, "Save");
  const undo = button("Undo", () => { made.forEach((row) => row.reset()); changed(); }, "quiet");
  const changed = () => {
    const dirty = made.some((row) => row.dirty());
    save.disabled = !dirty;
    undo.hidden = !dirty;
    problem.textContent = "";
  };
  const form = el("form", {novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    const values = {};
    for (const row of made.filter((one) => one.dirty())) {
      values[row.name] = row.value();
      if (values[row.name] === null) return row.input.focus();
    }
    save.disabled = true;
    try {
      await ask("settings", values);
      made.forEach((row) => row.keep());
      changed();
      toast("Saved");
    } catch (error) {
      save.disabled = false;
      const blamed = made.find((row) => error.message.toLowerCase().includes(row.name));
      if (blamed) { blamed.say(error.message); blamed.input.focus(); } else problem.textContent = error.message;
    }
    return undefined;
  }}, el("div", {class: "set-rows"}, ...made.map((row) => row.node)), el("div", {class: "set-save"}, problem, undo, save));
  made.forEach((row) => row.fill(first[row.name]));
  changed();
  return {node: form, fill: (found) => { made.forEach((row) => row.fill(found[row.name])); changed(); }};
}

function numberRow(name, label, unit, means, onchange) {
  const id = "set-" + name;
  let kept = null;
  const inWords = el("span", {class: "unit"});
  const said = el("p", {class: "say", id: id + "-say", "aria-live": "polite"});
  const input = el("input", {id, inputmode: "decimal", autocomplete: "off", maxlength: 12, "aria-describedby": `${id}-means ${id}-say`,
    oninput: () => { say(""); words(); onchange(); }});
  const words = () => {
    const given = Number(input.value);
    inWords.textContent = unit === "seconds" && given >= 60 ? "s = " + duration(given) : unit;
  };
  const say = (text) => { said.textContent = text; said.className = "say bad"; input.setAttribute("aria-invalid", String(Boolean(text))); };
  const set = (value) => { input.value = value == null ? "" : String(value); words(); };
  return {name, input, say,
    node: el("div", {class: "set-row"}, el("label", {for: id}, label), el("span", {class: "set-measure"}, input, inWords),
      el("p", {class: "hint", id: id + "-means"}, means), said),
    dirty: () => input.value.trim() !== (kept == null ? "" : String(kept)),
    reset: () => { set(kept); say(""); },
    keep: () => { kept = Number(input.value); },
    fill(value) {
      const untouched = input.value.trim() === (kept == null ? "" : String(kept));
      kept = value;
      if (untouched && document.activeElement !== input) set(value);
    },
    value() {
      const text = input.value.trim();
      if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
      say(`Give a number of ${unit}, for instance ${kept ?? 10}.`);
      return null;
    }};
}

/** Switches take effect when they are turned. */
function switches(wanted, first) {
  const made = wanted.map(([name, label, means]) => {
    const id = "set-" + name;
    const input = el("input", {id, type: "checkbox", role: "switch", class: "set-switch", "aria-describedby": id + "-means",
      onchange: async () => {
        input.disabled = true;
        try {
          await ask("settings", {[name]: input.checked});
          toast(`${label}: ${input.checked ? "on" : "off"}`);
        } catch (error) {
          input.checked = !input.checked;
          fail(error);
        }
        input.disabled = false;
        input.focus();
      }});
    return {name, input, node: el("div", {class: "set-row"}, el("label", {for: id}, label), input, el("p", {class: "hint", id: id + "-means"}, means))};
  });
  const fill = (found) => made.forEach(({name, input}) => { if (!input.disabled) input.checked = Boolean(found[name]); });
  fill(first);
  return {node: el("div", {class: "set-rows"}, ...made.map((one) => one.node)), fill};
}

// ---- the PIN

function pin() {
  const digits = {type: "password", inputmode: "numeric", maxlength: 6};
  const current = field("Current PIN", {...digits, autocomplete: "current-password"});
  const next = field("New PIN", {...digits, autocomplete: "new-password"});
  const again = field("New PIN again", {...digits, autocomplete: "new-password"});
  const problem = el("p", {class: "problem", role: "alert"});
  const go = el("button", {class: "primary"}, "Change PIN and sign out");
  next.say("6 digits, not easy to guess.");
  const check = () => {
    current.say("");
    again.say("");
    if (!/^\d{6}$/.test(current.input.value)) { current.say("The PIN has 6 digits.", "bad"); return current; }
    if (!/^\d{6}$/.test(next.input.value)) { next.say("Give 6 digits.", "bad"); return next; }
    next.say("");
    if (again.input.value !== next.input.value) { again.say("The two new PINs differ.", "bad"); return again; }
    return null;
  };
  return el("form", {class: "set-pin", novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    problem.textContent = "";
    const wrong = check();
    if (wrong) return wrong.input.focus();
    go.disabled = true;
    try {
      await ask("pin", {current: current.input.value, new: next.input.value});
      location.assign("/signin");
    } catch (error) {
      problem.textContent = error.message;
      go.disabled = false;
      current.input.select();
    }
    return undefined;
  }}, el("input", {name: "username", autocomplete: "username", value: (me && me.expId) || "dashboard", hidden: true}),
  el("p", {class: "hint"}, "Whoever knows the PIN may do everything here. A new one signs everyone out, you too."),
  current.node, next.node, again.node, problem, el("div", {}, go));
}

// ---- what the server tells of itself

const facts = (...pairs) => pairs.filter(Boolean).flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]);

function serverFacts({uptime, version, viewers, database}) {
  return facts(["Experiment", (me && me.expId) || "–"], ["Version", version], ["Running for", duration(uptime)],
    ["Looking at the dashboard", count(viewers, "page")],
    database.path ? ["Database", el("span", {class: "mono"}, database.path)] : null,
    ["Database size", `${bytes(database.size_bytes)}, journal mode ${String(database.journal_mode).toUpperCase()}`]);
}

const wrongFacts = ({since, before}) => [
  el("p", {class: "hint"}, since ? el("b", {}, "Since the last sign-in: " + wrongPins(since) + ".") : "No wrong PIN since the last sign-in."),
  before ? el("p", {class: "hint"}, "Before that: " + wrongPins(before) + ".") : null].filter(Boolean);

const CLASSES = ["2xx", "3xx", "4xx", "5xx"];
const PORTS = {api: "Workers (API)", dashboard: "Dashboard"};

function trafficTable(traffic) {
  const ports = Object.entries(traffic || {}).filter(([, one]) => one && typeof one === "object");
  if (!ports.length) return el("p", {class: "hint"}, "Nothing has been counted yet.");
  const line = (label, cell) => el("tr", {}, el("th", {scope: "row"}, label), ...ports.map(([, one]) => el("td", {class: "num"}, cell(one))));
  const since = ports[0][1].since ?? traffic.since;
  return el("table", {class: "data set-traffic"},
    since ? el("caption", {}, `Since ${moment(since)}`) : null,
    el("thead", {}, el("tr", {}, el("th", {scope: "col"}, el("span", {class: "sr"}, "What")),
      ...ports.map(([name]) => el("th", {scope: "col", class: "num"}, PORTS[name] || name)))),
    el("tbody", {}, ...CLASSES.map((name) => line(`Answers ${name}`, (one) => number((one.requests || one)[name] ?? 0))),
      line("Received", (one) => bytes(one.bytes_in)), line("Sent", (one) => bytes(one.bytes_out)),
      line("Open connections", (one) => number(one.connections ?? one.open_connections ?? 0))));
}

function backup() {
  return [el("p", {class: "hint"}, "A consistent copy of the database, made while the server runs: jobs, parameters, results, history. "
    + "Uploaded files are not in it."),
    el("p", {class: "set-gap"}, el("a", {class: "button", href: "/web/backup", download: true}, "Download a backup"))];
}

function prometheus() {
  return [el("p", {class: "hint"}, "The port for workers answers ", el("code", {}, "GET /metrics"), " in Prometheus' text format: jobs by status, "
    + "workers by state, attempts by verdict, requests, sizes. It asks for the same token as workers send, or for one of its own (", el("code", {}, "--metrics-token-file"), ").")];
}

function appearance() {
  const themes = [["", "System"], ["light", "Light"], ["dark", "Dark"]];
  const seg = el("div", {class: "seg", role: "group", "aria-label": "Theme"});
  const draw = () => [...seg.children].forEach((one, at) => one.setAttribute("aria-pressed", String(themes[at][0] === theme())));
  seg.append(...themes.map(([name, text]) => button(text, () => { setTheme(name); draw(); })));
  draw();
  document.addEventListener("theme", function follow() {
    if (seg.isConnected) draw(); else document.removeEventListener("theme", follow);  // the page was left
  });
  return el("section", {class: "card"}, el("div", {class: "card-head"}, el("h2", {class: "grow"}, "Theme"), seg));
}
