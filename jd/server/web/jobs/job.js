// One job: what it is given, how its attempts went, what it wrote and uploaded.

import {setTitle} from "../app.js";
import {keeping} from "../charts/controls.js";
import {ask, button, dialog, el, empty, fail, toast} from "../common.js";
import {parse, stringify} from "../exactjson.js";
import {breakable, count, duration, priority, status, value as shown, when} from "../format.js";
import {measuredFirst} from "../resultnames.js";
import {ACTIONS, openAction} from "../jobactions.js";
import {codes, version} from "./code.js";
import {tagLink} from "./columns.js";
import {failureLine} from "./failure.js";
import {fileList} from "./files.js";
import {jobCurves} from "./jobcurves.js";
import {outputBox} from "./output.js";

const POLL = 4000;  // ms; asking also tells the worker that somebody watches

/** The page /jobs/<id>; `?attempt=2` shows the output of that one. */
export async function show(main, params, query) {
  const id = Number(params.id);
  const page = new JobPage(main, id, Number(query.get("attempt")) || null);
  setTitle("Job " + id);
  try {
    await page.load();
  } catch (error) {
    const gone = error.status === 404;
    main.replaceChildren(empty(
      gone ? `There is no job ${id}` : "This job could not be loaded",
      gone ? "It may belong to another experiment." : error.message,
      el("a", {class: "button", href: "/jobs"}, "All jobs")));
    return {};
  }
  const timer = setInterval(() => page.poll(), POLL);
  return {
    refresh: (changes, before) => {
      const changed = (topic) => !before || changes[topic] !== before[topic];
      if (["jobs", "files", "workers"].some(changed)) return page.load();
      return ["output", "reports"].some(changed) ? page.poll() : null;
    },
    close: () => {
      clearInterval(timer);
      page.curves.close();
    },
  };
}

class JobPage {
  constructor(main, id, attempt) {
    this.main = main;
    this.id = id;
    this.output = outputBox(id, attempt);
    this.files = fileList(id);
    this.curves = jobCurves(id);
    this.drawn = {};  // of each part, what it shows
    this.beside = el("span");
    this.title = el("div", {class: "job-title"});
    this.acts = el("div", {class: "job-acts"});
    this.failure = el("div");
    this.parameters = part("Parameters", {id: "job-parameters"});
    this.results = part("Results", {id: "job-results"});
    this.attempts = part("Attempts", {id: "job-attempts"});
    this.written = part("Output", {id: "job-output"}, this.output.tools);
    this.uploads = part("Files", {id: "job-files"}, this.files.zip);
    this.metrics = part("Machine", {id: "job-metrics"});
    this.code = part("Code", {id: "job-code"});
    this.history = part("History", {id: "job-history"});
    this.written.body.append(this.output.node);
    this.uploads.body.append(this.files.node);
  }

  async load() {
    const job = await ask("job?id=" + this.id, undefined, undefined, ["parameters", "results"]);
    this.job = job;
    if (!this.main.contains(this.title)) this.frame();
    const shown = [job.status, job.attempt, job.worker_id, job.started, job.finished, job.runtime,
      job.retry_at, job.priority, job.tags, job.needs, job.timeout, job.max_attempts, job.flags];
    this.draw("beside", job.beside, () => this.drawBeside(job.beside));
    this.draw("title", shown, () => this.drawTitle(job));
    this.draw("failure", [job.error, job.alike], () =>
      this.failure.replaceChildren(failureLine(job) || ""));
    this.draw("acts", [job.status, job.priority], () => this.drawActs(job));
    this.draw("parameters", job.parameters, () =>
      this.parameters.body.replaceChildren(facts(Object.entries(job.parameters))));
    this.draw("results", job.results, () => {
      this.results.node.hidden = !job.results || Object.keys(job.results).length === 0;
      const names = measuredFirst(Object.keys(job.results || {}), Object.keys(job.parameters));
      this.results.body.replaceChildren(facts(names.map((name) => [name, job.results[name]])));
    });
    this.draw("attempts", job.attempts, () => this.attempts.body.replaceChildren(attempts(job.attempts)));
    this.draw("code", job.attempts.map(({number, code}) => [number, code]), () => {
      const known = codes(job.attempts);
      this.code.node.hidden = known.length === 0;
      this.code.body.replaceChildren(...known);
    });
    this.draw("history", job.history, () => this.history.body.replaceChildren(history(job.history)));
    this.draw("files", job.files, () => this.files.show(job.files));
    const latest = job.attempts[0], metrics = (latest && latest.metrics) || {};
    this.draw("metrics", metrics, () => {
      this.metrics.node.hidden = Object.keys(metrics).length === 0;
      this.metrics.body.replaceChildren(facts(Object.entries(metrics)));
    });
    this.written.node.hidden = !latest;
    if (latest) {
      await Promise.all([this.output.attempts(job.attempts), this.curves.attempts(job.attempts)]);
    }
  }

  async poll() {
    if (!this.job || this.job.status !== "SERVED" || document.hidden) return;
    try {
      await Promise.all([this.output.poll(), this.curves.poll()]);
    } catch (error) { /* the next one may come through; the shell says when the server is away */ }
  }

  /** Call `make` only if what the part shows has changed, so that a selection or the focus is not lost. */
  draw(name, content, make) {
    const text = JSON.stringify(content);
    if (this.drawn[name] === text) return;
    this.drawn[name] = text;
    make();
  }

  frame() {
    this.main.replaceChildren(
      el("div", {class: "job-head"},
        el("nav", {class: "job-way", "aria-label": "Jobs"}, el("a", {href: "/jobs"}, "Jobs"), this.beside),
        el("div", {class: "job-line"}, this.title, this.acts), this.failure),
      el("div", {class: "split wide-left"},
        el("div", {class: "job-column"},
          this.curves.node, this.written.node, this.attempts.node, this.uploads.node),
        el("div", {class: "job-column"},
          this.parameters.node, this.results.node, this.metrics.node, this.code.node,
          this.history.node)));
  }

  drawBeside({before, after}) {
    // With their numbers: a bare sign behind "Jobs" looked like a way that leads nowhere.
    const way = (id, label, words) => (id === null ? "" : el("a",
      {class: "button small quiet", href: "/jobs/" + id, "aria-label": label, title: label}, words));
    keeping(this.beside, () => this.beside.replaceChildren(
      way(before, "Previous job", `‹ #${before}`), way(after, "Next job", `#${after} ›`)));
  }

  drawTitle(job) {
    const said = [];
    const say = (...content) => said.push(el("span", {}, ...content));
    if (job.worker_id && job.attempt > 0) say(`attempt ${job.attempt} on `, workerLink(job.worker_id));
    if (job.started) say("started ", when(job.started));
    if (job.finished) say("ended ", when(job.finished));
    if (job.runtime != null) say("ran " + duration(job.runtime));
    if (job.status === "ABORTED" && job.retry_at) say("tried again ", when(job.retry_at));
    if (job.status === "PENDING" && job.priority) say(priority(job.priority));
    if (job.tags) say("tags ", ...job.tags.flatMap((tag) => [" ", tagLink(tag)]));
    if (job.needs) say("needs " + job.needs.join(" and "));
    if (job.timeout) say("timeout " + duration(job.timeout));
    if (job.max_attempts) say(count(job.max_attempts, "attempt") + " at most");
    if (job.flags) say("parameters as flags=" + job.flags);
    this.title.replaceChildren(el("h1", {}, "Job " + job.id),
      status(job.status, job.retry_at), el("p", {class: "hint job-facts"}, ...said));
  }

  drawActs(job) {
    const focus = this.acts.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    const can = Object.keys(ACTIONS).filter((name) => ACTIONS[name].takes.includes(job.status)
      && name !== (job.priority > 0 ? "prioritise" : "normal"));
    const done = () => this.load().catch(fail);
    const made = can.map((action) => {
      const {verb, danger} = ACTIONS[action];
      const one = button(verb, () => openAction({action, ids: [this.id], done}), danger ? "danger" : null);
      one.dataset.act = action;
      return one;
    });
    if (job.status === "PENDING") made.unshift(button("Edit parameters", () => this.edit()));
    made.push(el("a", {class: "button", href: "/compare?ids=" + this.id,
      title: "Beside other jobs"}, "Compare"));
    this.acts.replaceChildren(...made);
    if (focus) (made.find((one) => one.dataset.act === focus) || this.acts.firstChild).focus();
  }

  edit() {
    const text = el("textarea", {class: "create-text", rows: 12, spellcheck: "false",
      "aria-label": "Parameters as JSON"});
    const reason = el("input", {id: "edit-reason", type: "text", maxlength: 500,
      placeholder: "kept in the job's history"});
    text.value = stringify(this.job.parameters, "  ");
    dialog({
      title: `Parameters of job ${this.id}`, action: "Save",
      content: [text, el("div", {}, el("label", {for: "edit-reason"}, "Reason"), reason)],
      submit: async () => {
        let parameters;
        try {
          parameters = parse(text.value);
        } catch (error) {
          throw new Error("This is not JSON: " + error.message);
        }
        await ask(`jobs/${this.id}/parameters`, {parameters, reason: reason.value});
        toast(`Job ${this.id} has new parameters.`);
        return () => this.load().catch(fail);
      },
    });
    text.focus();
  }
}

function part(title, attributes, ...tools) {
  const body = el("div", {class: "card-body"});
  const node = el("section", Object.assign({class: "card", "aria-label": title}, attributes),
    el("div", {class: "card-head"}, el("h2", {class: "grow"}, title), ...tools), body);
  return {node, body};
}

const workerLink = (id) => el("a", {href: "/workers?worker=" + encodeURIComponent(id)}, id);

/** Names and values, one pair a line. */
function facts(given) {
  const pairs = given.flatMap(([name, one]) =>
    [el("dt", {}, ...breakable(name)), el("dd", {class: "mono"}, shown(one))]);
  return el("dl", {class: "facts"}, ...pairs);
}

function attempts(list) {
  if (list.length === 0) return el("p", {class: "hint"}, "No worker has had it yet.");
  const ending = ({verdict, exit_code: code}) => {
    if (!verdict) return "running";
    if (code == null || code === 0) return verdict;
    return `${verdict} (${code < 0 ? "signal " + -code : "exit " + code})`;
  };
  const line = (one) => el("tr", {},
    el("td", {"data-label": "Attempt"}, String(one.number)),
    el("td", {"data-label": "Ended as"},
      el("span", {class: "verdict " + (one.verdict || "running")}, ending(one))),
    el("td", {"data-label": "Worker"}, workerLink(one.worker_id)),
    el("td", {"data-label": "Started"}, when(one.started)),
    el("td", {"data-label": "Ran"}, one.runtime == null ? "" : duration(one.runtime)),
    el("td", {"data-label": "Code"}, version(one.code)),
    el("td", {"data-label": "Message", class: "message"}, folded(one.message || "")));
  const heads = ["Attempt", "Ended as", "Worker", "Started", "Ran", "Code", "Message"];
  return el("div", {class: "scroll"}, el("table", {class: "data as-cards"},
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", {scope: "col"}, head)))),
    el("tbody", {}, ...list.map(line))));
}

function history(lines) {
  if (lines.length === 0) return el("p", {class: "hint"}, "No attempt has ended yet.");
  return el("ol", {class: "timeline"}, ...lines.map(({timestamp, reason}) =>
    el("li", {}, el("span", {class: "timeline-when hint"}, when(timestamp)),
      el("div", {}, folded(reason)))));
}

/** What a text begins with; its further lines, the end of an output as a rule, on demand. */
function folded(text) {
  const [first, ...others] = text.split("\n");
  return others.length === 0 ? text
    : el("details", {class: "folded"}, el("summary", {}, first), el("pre", {}, others.join("\n")));
}
