// The dialog that makes jobs: combinations or samples of what a form says, JSON, or a table.

import {ask, dialog, el, fail, toast} from "../../common.js";
import {number, value as shown} from "../../format.js";
import {live} from "../../live.js";
import {formEditor} from "./form.js";
import {optionsBox} from "./options.js";
import {prefill} from "./prefill.js";
import {jsonEditor, tableEditor} from "./texts.js";

const PREVIEW = 5;  // jobs that the preview shows
const WAIT = 250;  // milliseconds that typing must pause before the server is asked
const MODES = [["form", "Form"], ["json", "JSON"], ["table", "CSV / TSV"]];

/** Open the dialog, its form filled with what an address says if `filled`, a text, is given. What was typed
 * stays until jobs are made from it.
 *
 * An editor is {node, hint, read(), clear()}: `read` gives what the server takes, null while there is none,
 * and throws an Error for people; with `sample(given, n)` it works out the first jobs itself where it can,
 * and `refuse(message)` puts what the server says beside the field that is meant, if it knows that. */
export function openCreate(filled) {
  const given = filled ? prefill(filled) : null;
  if (filled && !given) toast("The address says nothing that jobs could be made of.", true);
  const editors = {form: formEditor(given), json: jsonEditor(), table: tableEditor()};
  const panel = el("div", {class: "create-panel", role: "tabpanel", "aria-label": "What to make"});
  const preview = el("section", {class: "create-preview", "aria-live": "polite", "aria-label": "Preview"});
  const progress = el("progress", {hidden: true, "aria-label": "Jobs made"});
  const options = optionsBox();
  let mode = "form", asked = 0, timer = 0, body = null;

  const tabs = MODES.map(([name, label]) => el("button", {
    type: "button", role: "tab", onclick: () => choose(name),
    onkeydown: (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step) return;
      const next = (MODES.findIndex(([one]) => one === mode) + step + MODES.length) % MODES.length;
      choose(MODES[next][0]);
      tabs[next].focus();
    }}, label));

  function choose(name) {
    mode = name;
    MODES.forEach(([one], at) => {
      tabs[at].setAttribute("aria-selected", String(one === name));
      tabs[at].tabIndex = one === name ? 0 : -1;
    });
    panel.replaceChildren(editors[name].node);
    look();
  }

  /** Work out what would be made: here at once where the editor can, by the server a moment later. */
  function look() {
    const editor = editors[mode];
    clearTimeout(timer);
    asked += 1;
    body = null;
    opened.go.disabled = true;
    let given;
    try {
      given = editor.read();
    } catch (error) {
      return preview.replaceChildren(el("p", {class: "problem"}, error.message));
    }
    if (given === null) return preview.replaceChildren(el("p", {class: "hint"}, editor.hint));
    const known = editor.sample ? editor.sample(given, PREVIEW) : null;
    if (known) preview.replaceChildren(...previewOf(known));
    timer = setTimeout(() => confirmPreview(given, asked), WAIT);
  }

  async function confirmPreview(given, turn) {
    try {
      const how = options.how();
      const answer = await ask("create/preview", Object.assign({}, how, given), undefined, ["sample"]);
      if (turn !== asked) return;
      const more = how.replace ? [replaced(answer.replaced)] : how.unique ? [existing(answer)] : [];
      preview.replaceChildren(...previewOf(answer), ...more);
      const left = how.unique && answer.existing === null ? null : answer.total - (answer.existing || 0);
      opened.go.disabled = left === 0;
      opened.go.textContent = "Create " + (left === null ? "what is new" : jobs(left));
      body = given;
    } catch (error) {
      if (turn !== asked) return;
      const beside = editors[mode].refuse?.(error.message);
      preview.replaceChildren(beside ? "" : el("p", {class: "problem"}, error.message));
    }
  }

  async function submit() {
    const cancel = opened.box.querySelector(".foot button");
    cancel.textContent = "Close";  // the jobs are made all the same
    const stop = live.on(() => {
      const made = live.summary && live.summary.creating;
      progress.hidden = !made;
      if (made) Object.assign(progress, {max: made.total, value: made.done});
    });
    try {
      const answer = await ask("create", Object.assign(options.read(), body));
      const last = answer.start_id + answer.total_jobs - 1;
      const there = answer.existing ? ` ${jobs(answer.existing)} existed already.` : "";
      const made = answer.total_jobs === 0 ? "No job is made." : answer.total_jobs === 1
        ? `Job ${last} is made.` : `${jobs(answer.total_jobs)} are made: ${answer.start_id} to ${last}.`;
      toast(made + there);
      for (const editor of Object.values(editors)) editor.clear();
    } catch (error) {
      if (!opened.box.isConnected) fail(error);  // the dialog was closed: nobody would read it there
      throw error;
    } finally {
      stop();
      cancel.textContent = "Cancel";
      progress.hidden = true;
    }
  }

  for (const editor of Object.values(editors)) editor.node.addEventListener("input", look);
  options.node.addEventListener("input", look);
  const bar = el("div", {class: "tabs", role: "tablist", "aria-label": "How to describe them"}, ...tabs);
  const opened = dialog({title: "New jobs", action: "Create jobs", submit,
    content: [bar, panel, preview, options.node, progress]});
  opened.box.classList.add("create");
  choose("form");
  panel.querySelector("input")?.focus();
}

// ---- what will be made

function previewOf({total, names, sample}) {
  const cells = (job) => names.map((name) => el("td", {}, name in job ? shown(job[name]) : ""));
  const rows = sample.slice(0, PREVIEW).map((job) => el("tr", {}, ...cells(job)));
  const heads = names.map((name) => el("th", {scope: "col"}, name));
  const first = total > PREVIEW ? el("span", {class: "hint"}, ` · the first ${rows.length}`) : null;
  return [
    el("p", {class: "create-count"}, el("b", {}, number(total)), total === 1 ? " job" : " jobs", first),
    el("div", {class: "create-sample scroll", tabindex: 0, role: "region", "aria-label": "The first jobs"},
      el("table", {class: "data"},
        el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)))];
}

const jobs = (count) => number(count) + (count === 1 ? " job" : " jobs");

function existing({total, existing: found}) {
  if (found === null) return el("p", {class: "hint"}, "What exists already is found when the jobs are made.");
  if (!found) return el("p", {class: "hint"}, "None of them exists yet.");
  const rest = found === total ? "there is nothing to make." : `${number(total - found)} would be made.`;
  return el("p", {class: "note"}, `${number(found)} of ${number(total)} exist already; ${rest}`);
}

function replaced(pending) {
  if (!pending) return el("p", {class: "hint"}, "No pending job would be replaced.");
  const gone = `${number(pending)} pending ${pending === 1 ? "job goes" : "jobs go"} to Deleted`;
  return el("p", {class: "note"}, gone + "; running and finished jobs stay.");
}
