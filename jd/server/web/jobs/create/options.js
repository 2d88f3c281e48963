// The options of the dialog that makes jobs: what becomes of pending ones, and limits of their own.

import {el} from "../../common.js";
import {words} from "../../jobactions.js";

/** {node, how(), read()}: `how` gives {replace, unique}, which jobs give way ("pending" or false) and whether
 * only new ones are made; `read` gives all options for the server. */
export function optionsBox() {
  const radio = (value, label, on) => el("label", {class: "check"},
    el("input", {type: "radio", name: "create-how", value, checked: on}), label);
  const field = (id, placeholder, more) => el("input", {id, placeholder, autocomplete: "off", ...more});
  const seconds = (id, min = 0, placeholder = "as the server") => field(id, placeholder,
    {type: "number", min, step: "any", inputmode: "decimal"});
  const whole = (id, placeholder, min, max) => field(id, placeholder,
    {type: "number", min, max, step: 1, inputmode: "numeric"});
  const row = (text, input) => el("div", {}, el("label", {for: input.id}, text), input);
  const lease = seconds("create-lease", 3), pause = seconds("create-pause");
  const time = seconds("create-time", 0, "as the worker"), timeout = seconds("create-timeout", 1, "none");
  const attempts = whole("create-attempts", "as the server", 1, 1000);
  const priority = whole("create-priority", "0", -1000, 1000);
  const needs = field("create-needs", "gpu-a100, big",
    {type: "text", maxlength: 1100, autocapitalize: "none", spellcheck: "false"});
  const tags = field("create-tags", "baseline, round-2",
    {type: "text", maxlength: 1100, autocapitalize: "none", spellcheck: "false"});
  const style = el("select", {id: "create-flags"}, el("option", {value: ""}, "as the worker"),
    ...["json", "switches", "python", "hydra", "env", "none"].map((value) => el("option", {value}, value)));
  const append = radio("append", "Add to the queue", true);
  const unique = radio("unique", "Add only those that do not exist yet", false);
  const replace = radio("replace", "Replace what is pending", false);
  const node = el("div", {class: "create-options"},
    el("fieldset", {}, el("legend", {}, "Jobs that are there already"), append, unique, replace),
    el("details", {}, el("summary", {}, "Advanced"),
      el("div", {class: "create-advanced"},
        row("Tags, to find them again", tags), row("Tags a worker must have", needs),
        row("Priority, higher first", priority),
        row("Timeout of a script, seconds", timeout), row("Attempts at most", attempts),
        row("Pause before a retry, seconds", pause), row("Lease, seconds", lease),
        row("Time a worker must have left, seconds", time),
        row("How scripts get parameters (flags)", style))));
  const numbers = {idle_timeout: lease, aborted_job_reset_timeout: pause, min_time: time, timeout,
    max_attempts: attempts, priority};
  const chosen = (label) => label.querySelector("input").checked;
  const how = () => ({replace: chosen(replace) && "pending", unique: chosen(unique)});
  return {
    node, how,
    read() {
      const given = how();
      for (const [name, input] of Object.entries(numbers)) {
        if (input.value !== "") given[name] = Number(input.value);
      }
      for (const [name, input] of [["tags", tags], ["needs", needs]]) {
        const found = words(input.value);
        if (found.length) given[name] = found;
      }
      if (style.value) given.flags = style.value;
      return given;
    },
  };
}
