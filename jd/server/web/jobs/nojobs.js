// What the Jobs page shows before there are jobs.

import {me} from "../app.js";
import {button, el, icon, secret} from "../common.js";
import {workerCommand} from "../workercommand.js";

/** What to do first: `create` opens the dialog for new jobs. */
export function gettingStarted(create) {
  const hub = me.hub ? "The worker finds this server at the Hub: set JD_HUB_URL and JD_API_KEY first. " : "";
  return el("section", {class: "card start"},
    icon(), el("h1", {}, "No jobs yet"),
    el("p", {class: "hint"}, "A job is one set of parameters for your script. Give each parameter its "
      + "values, and every combination becomes a job."),
    button("New jobs", create, "primary"),
    el("h2", {}, "Then start a worker, on any machine that reaches this server"),
    secret(workerCommand(), "the command that starts a worker"),
    el("p", {class: "hint"}, hub, "It runs train.py once for each job, with the parameters as flags such as ",
      el("code", {}, "--lr 0.01"), "."));
}
