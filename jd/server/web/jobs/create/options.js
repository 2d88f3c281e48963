// The options of the dialog that makes jobs: what becomes of pending ones, and limits of their own.

import {el} from "../../common.js";

/** {node, replace(), read()}: `replace` says whether pending jobs give way, `read` gives all options for the
 * server. */
export function optionsBox() {
  const radio = (value, label, on) => el("label", {class: "check"},
    el("input", {type: "radio", name: "create-how", value, checked: on}), label);
  const seconds = (id, min = 0) => el("input",
    {id, type: "number", min, step: "any", placeholder: "as the server", inputmode: "decimal"});
  const row = (text, input) => el("div", {}, el("label", {for: input.id}, text), input);
  const lease = seconds("create-lease", 3), pause = seconds("create-pause"), time = seconds("create-time");
  const append = radio("append", "Add to the queue", true);
  const replace = radio("replace", "Replace what is pending", false);
  const node = el("div", {class: "create-options"},
    el("fieldset", {}, el("legend", {}, "Jobs that are pending now"), append, replace),
    el("details", {}, el("summary", {}, "Advanced"),
      el("div", {class: "create-advanced"},
        row("Lease, seconds", lease), row("Pause before a retry, seconds", pause),
        row("Time a worker must have left, seconds", time))));
  const replaces = () => replace.querySelector("input").checked;
  return {
    node, replace: replaces,
    read() {
      const given = {replace: replaces()};
      if (lease.value !== "") given.idle_timeout = Number(lease.value);
      if (pause.value !== "") given.aborted_job_reset_timeout = Number(pause.value);
      if (time.value !== "") given.min_time = Number(time.value);
      return given;
    },
  };
}
