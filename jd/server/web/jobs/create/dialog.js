// The dialog that makes jobs: a form of parameters and values, JSON, or a table.

import {ask, button, dialog, el, fail, toast} from "../../common.js";
import {bytes, number, value as shown} from "../../format.js";
import {MOST, combinations, jobAt, jsonPlace, kind, values} from "./grid.js";
import {live} from "../../live.js";

const PREVIEW = 5;
const LONG = 1000000;  // characters; a longer text makes an editor slow
const EXAMPLE = {parameters: {lr: [0.1, 0.01], epochs: [10, 20]}};
const MODES = [["form", "Form"], ["json", "JSON"], ["table", "CSV / TSV"]];

/** Open the dialog. What was typed stays until jobs are made from it. */
export function openCreate() {
  const editors = {form: formEditor(), json: jsonEditor(), table: tableEditor()};
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

  /** Work out what would be made: here at once, by the server a moment later. */
  function look() {
    clearTimeout(timer);
    asked += 1;
    body = null;
    opened.go.disabled = true;
    let given;
    try {
      given = editors[mode].read();
    } catch (error) {
      return preview.replaceChildren(el("p", {class: "problem"}, error.message));
    }
    if (given === null) {
      return preview.replaceChildren(el("p", {class: "hint"}, editors[mode].hint));
    }
    const here = editors[mode].preview ? editors[mode].preview(given) : null;
    if (here) preview.replaceChildren(...previewOf(here));
    timer = setTimeout(() => confirmPreview(given, asked), 250);
  }

  async function confirmPreview(given, turn) {
    try {
      const answer = await ask("create/preview", Object.assign({replace: options.replace()}, given));
      if (turn !== asked) return;
      preview.replaceChildren(...previewOf(answer), ...(options.replace() ? [replaced(answer.pending)] : []));
      opened.go.disabled = false;
      opened.go.textContent = "Create " + (answer.total === 1 ? "1 job" : number(answer.total) + " jobs");
      body = given;
    } catch (error) {
      if (turn === asked) preview.replaceChildren(el("p", {class: "problem"}, error.message));
    }
  }

  async function submit() {
    const cancel = opened.box.querySelector(".foot button");
    cancel.textContent = "Close";  // they are made all the same
    const stop = live.on(() => {
      const made = live.summary && live.summary.creating;
      progress.hidden = !made;
      if (made) Object.assign(progress, {max: made.total, value: made.done});
    });
    try {
      const answer = await ask("create", Object.assign(options.read(), body));
      const last = answer.start_id + answer.total_jobs - 1;
      toast(answer.total_jobs === 1 ? `Job ${last} is made.`
        : `${number(answer.total_jobs)} jobs are made: ${answer.start_id} to ${last}.`);
      for (const editor of Object.values(editors)) editor.clear();
    } catch (error) {
      if (!opened.box.isConnected) fail(error);  // closed meanwhile: nobody would read it there
      throw error;
    } finally {
      stop();
      cancel.textContent = "Cancel";
      progress.hidden = true;
    }
  }

  for (const editor of Object.values(editors)) editor.node.addEventListener("input", look);
  options.node.addEventListener("input", look);
  const opened = dialog({
    title: "New jobs", action: "Create jobs", submit,
    content: [el("div", {class: "tabs", role: "tablist", "aria-label": "How to describe them"}, ...tabs), panel,
      preview, options.node, progress]});
  opened.box.classList.add("create");
  choose("form");
  const first = panel.querySelector("input");
  if (first) first.focus();
}

// ---- what will be made

function previewOf({total, names, sample}) {
  const cells = (job) => names.map((name) => el("td", {}, name in job ? shown(job[name]) : ""));
  const rows = sample.slice(0, PREVIEW).map((job) => el("tr", {}, ...cells(job)));
  const heads = names.map((name) => el("th", {scope: "col"}, name));
  return [
    el("p", {class: "create-count"}, el("b", {}, number(total)), total === 1 ? " job" : " jobs",
      total > PREVIEW ? el("span", {class: "hint"}, ` · the first ${rows.length}`) : null),
    el("div", {class: "create-sample scroll", tabindex: 0, role: "region", "aria-label": "The first jobs"},
      el("table", {class: "data"}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)))];
}

const replaced = (pending) => el("p", {class: pending ? "note" : "hint"}, pending
  ? `${number(pending)} pending ${pending === 1 ? "job goes" : "jobs go"} to Deleted; running and finished jobs stay.`
  : "No pending job would be replaced.");

// ---- the form

function formEditor() {
  const rows = el("div", {class: "grid-rows"});
  const sums = el("p", {class: "hint grid-sum"});
  const add = () => { const row = gridRow(rows); rows.append(row); renumber(); return row; };
  const renumber = () => [...rows.children].forEach((row, at) => row.label(at + 1));
  const node = el("div", {class: "grid"},
    el("div", {class: "grid-heads", "aria-hidden": "true"}, el("span", {}, "Parameter"), el("span", {}, "Values")),
    rows, el("div", {class: "grid-foot"}, button("Add parameter", () => { add().querySelector("input").focus(); }), sums),
    el("p", {class: "hint"}, "Values: ", el("code", {}, "0.1, 0.01"), " · ranges ", el("code", {}, "1..10"), " ",
      el("code", {}, "0..1 step 0.25"), " ", el("code", {}, "1e-5..1e-1 log 5"), " · text, true, false, null, JSON"));
  rows.addEventListener("moved", renumber);
  add();
  add();
  return {
    node, hint: "Give a name and at least one value.",
    read() {
      const grid = [];
      for (const row of rows.children) {
        const one = row.read();
        if (one === null) continue;
        if (grid.some(([name]) => name === one[0])) throw new Error(`The parameter ${one[0]} is there twice.`);
        grid.push(one);
      }
      sums.textContent = "";
      if (grid.length === 0) return null;
      const total = combinations(grid);
      sums.textContent = grid.map(([, list]) => number(list.length)).join(" × ") + " = " + number(total);
      if (total > MOST) {
        throw new Error(`That makes ${number(total)} jobs; at most ${number(MOST)} at once. Use fewer values, or create them in parts.`);
      }
      return {parameters: Object.fromEntries(grid)};
    },
    preview({parameters}) {
      const grid = Object.entries(parameters), total = combinations(grid);
      const sample = Array.from({length: Math.min(PREVIEW, total)}, (_, at) => jobAt(grid, at));
      return {total, names: grid.map(([name]) => name), sample};
    },
    clear() { rows.replaceChildren(); add(); add(); },
  };
}

function gridRow(rows) {
  const name = el("input", {type: "text", class: "grid-name", placeholder: "lr", autocomplete: "off",
    autocapitalize: "none", spellcheck: "false", maxlength: 128});
  const list = el("textarea", {class: "grid-values", rows: 1, placeholder: "0.1, 0.01, 0.001", autocomplete: "off",
    autocapitalize: "none", spellcheck: "false"});
  const say = el("p", {class: "say grid-say"});
  const move = (step) => {
    const other = step < 0 ? row.previousElementSibling : row.nextElementSibling;
    if (!other) return;
    if (step < 0) other.before(row); else other.after(row);
    changed();
  };
  const changed = () => {
    rows.dispatchEvent(new CustomEvent("moved"));
    rows.dispatchEvent(new Event("input", {bubbles: true}));
  };
  const tool = (sign, label, act) => el("button", {type: "button", class: "quiet icon", title: label, onclick: act}, sign);
  const tools = [
    tool("↑", "Move up", () => move(-1)), tool("↓", "Move down", () => move(1)),
    tool("×", "Remove", () => {
      const next = row.nextElementSibling || row.previousElementSibling;
      row.remove();
      changed();
      if (next) next.querySelector("input").focus();
    })];
  const row = el("div", {class: "grid-row", role: "group"}, name, list, el("div", {class: "grid-tools"}, ...tools), say);
  list.addEventListener("input", () => { list.rows = Math.min(6, list.value.split("\n").length); });
  row.label = (place) => {
    row.setAttribute("aria-label", "Parameter " + place);
    name.setAttribute("aria-label", `Name of parameter ${place}`);
    list.setAttribute("aria-label", `Values of parameter ${place}`);
    tools.forEach((one) => one.setAttribute("aria-label", `${one.title}: parameter ${place}`));
  };
  /** [name, values], null while it is empty; says below the row what is wrong or of which kind they are. */
  row.read = () => {
    const said = (text, bad) => { say.textContent = text; say.className = "say grid-say" + (bad ? " bad" : ""); };
    said("");
    if (name.value.trim() === "" && list.value.trim() === "") return null;
    let found;
    try {
      found = values(list.value);
    } catch (error) {
      said(error.message, true);
      throw error;
    }
    if (name.value.trim() === "" || found.length === 0) {
      const missing = found.length ? "Give this parameter a name." : `Give ${name.value.trim()} at least one value.`;
      said(missing, true);
      throw new Error(missing);
    }
    const kinds = [...new Set(found.map(kind))].join(", ");
    said(`${number(found.length)} ${found.length === 1 ? "value" : "values"} · ${kinds}`);
    return [name.value.trim(), found];
  };
  return row;
}

// ---- JSON and tables

function textEditor(label, placeholder, rows) {
  return el("textarea", {class: "create-text", rows, "aria-label": label, placeholder, spellcheck: "false",
    autocomplete: "off", autocapitalize: "none"});
}

function jsonEditor() {
  const text = textEditor("Jobs as JSON", JSON.stringify(EXAMPLE, null, 2), 12);
  const format = button("Format", () => {
    try {
      text.value = JSON.stringify(JSON.parse(text.value), null, 2);
    } catch (error) { /* what is wrong is said below already */ }
  });
  const node = el("div", {class: "create-edit"}, text, el("div", {class: "grid-foot"}, format,
    el("span", {class: "hint"}, "{\"parameters\": {name: [values]}} for a grid, or a list of objects, one for each job.")));
  return {
    node, hint: "A grid or a list of jobs.",
    read() {
      if (text.value.trim() === "") return null;
      let read;
      try {
        read = JSON.parse(text.value);
      } catch (error) {
        const place = jsonPlace(text.value, error);
        throw new Error(place ? `This is not JSON: see line ${place.line}, column ${place.column}.`
          : "This is not JSON: " + error.message);
      }
      return {text: text.value, format: "json"};
    },
    clear() { text.value = ""; },
  };
}

function tableEditor() {
  const text = textEditor("Jobs as a table", "lr,epochs\n0.1,10\n0.01,20", 10);
  const file = el("input", {type: "file", accept: ".csv,.tsv,.txt,text/csv,text/tab-separated-values",
    class: "sr", tabindex: -1, "aria-label": "Choose a file", onchange: () => take(file.files[0])});
  let held = null;  // the content of a file that is too long to be edited here
  const take = async (given) => {
    if (!given) return;
    const read = await given.text();
    held = read.length > LONG ? read : null;
    text.readOnly = held !== null;
    text.value = held === null ? read : `${given.name}: ${bytes(given.size)}, too long to be shown here`;
    drop.hidden = held === null;
    text.dispatchEvent(new Event("input", {bubbles: true}));
  };
  const clear = () => {
    held = null;
    text.value = file.value = "";
    text.readOnly = false;
    drop.hidden = true;
    text.dispatchEvent(new Event("input", {bubbles: true}));
  };
  const drop = button("Remove the file", clear, "quiet");
  drop.hidden = true;
  const node = el("div", {class: "create-edit"}, text, el("div", {class: "grid-foot"},
    button("Choose a file", () => file.click()), file, drop,
    el("span", {class: "hint"}, "The first line holds the names; each other line is a job. Or drop a file here.")));
  node.addEventListener("dragover", (event) => event.preventDefault());
  node.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  return {
    node, hint: "Paste a table, or choose a file.",
    read() {
      const table = held === null ? text.value : held;
      if (table.trim() === "") return null;
      return {text: table, format: table.slice(0, table.indexOf("\n") + 1 || undefined).includes("\t") ? "tsv" : "csv"};
    },
    clear,
  };
}

// ---- options

function optionsBox() {
  const radio = (value, label, on) => el("label", {class: "check"},
    el("input", {type: "radio", name: "create-how", value, checked: on}), label);
  const seconds = (id, label) => [el("label", {for: id}, label),
    el("input", {id, type: "number", min: 0, step: "any", placeholder: "as the server", inputmode: "decimal"})];
  const [leaseLabel, lease] = seconds("create-lease", "Lease, seconds");
  const [pauseLabel, pause] = seconds("create-pause", "Pause before a retry, seconds");
  const [timeLabel, time] = seconds("create-time", "Time a worker must have left, seconds");
  const append = radio("append", "Add to the queue", true), replace = radio("replace", "Replace what is pending", false);
  const node = el("div", {class: "create-options"},
    el("fieldset", {}, el("legend", {}, "Jobs that are pending now"), append, replace),
    el("details", {}, el("summary", {}, "Advanced"),
      el("div", {class: "create-advanced"}, el("div", {}, leaseLabel, lease), el("div", {}, pauseLabel, pause),
        el("div", {}, timeLabel, time))));
  const chosen = () => replace.querySelector("input").checked;
  return {
    node, replace: chosen,
    read() {
      const given = {replace: chosen()};
      if (lease.value !== "") given.idle_timeout = Number(lease.value);
      if (pause.value !== "") given.aborted_job_reset_timeout = Number(pause.value);
      if (time.value !== "") given.min_time = Number(time.value);
      return given;
    },
  };
}
