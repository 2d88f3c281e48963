// What the Jobs page shows before there are jobs.

import {me} from "../app.js";
import {button, el, secret} from "../common.js";

const quoted = (text) => (/^[\w:/.@%+=,-]+$/.test(text) ? text : "'" + text.replace(/'/g, "'\\''") + "'");

/** The command line that starts a worker where the server is found by itself: by its access file, or at the Hub. */
export function foundCommand() {
  return "jd_worker_cli expId=" + quoted(me.expId) + " entry_script=train.py";
}

/** The command line that starts a worker for this experiment. */
export function workerCommand() {
  const command = foundCommand();
  return me.hub ? command : command + " server=" + quoted(me.server_url || location.hostname);
}

/** What to do first: `create` opens the dialog for new jobs. */
export function gettingStarted(create) {
  return el("section", {class: "card start"},
    el("img", {src: "/static/icon.svg", alt: "", width: 40, height: 40}),
    el("h1", {}, "No jobs yet"),
    el("p", {class: "hint"}, "A job is one set of parameters for your script. Give each parameter its values, and every combination becomes a job."),
    button("New jobs", create, "primary"),
    el("h2", {}, "Then start a worker, on any machine that reaches this server"),
    secret(workerCommand(), "the command that starts a worker"),
    el("p", {class: "hint"}, me.hub ? "The worker finds this server at the Hub: set JD_HUB_URL and JD_API_KEY first. " : "",
      "It runs train.py once for each job, with the parameters as flags such as ", el("code", {}, "--lr 0.01"), "."));
}
