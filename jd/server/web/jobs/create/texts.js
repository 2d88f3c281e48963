// Jobs as a text: JSON, or a table as spreadsheets write it. dialog.js says what an editor is.

import {button, el} from "../../common.js";
import {parse, stringify} from "../../exactjson.js";
import {bytes} from "../../format.js";

const LONG = 1000000;  // characters; a longer text makes a text field slow
const EXAMPLE = {parameters: {lr: [0.1, 0.01], epochs: [10, 20]}};
const TABLES = ".csv,.tsv,.txt,text/csv,text/tab-separated-values";

function textField(label, placeholder, rows) {
  return el("textarea", {class: "create-text", rows, "aria-label": label, placeholder, spellcheck: "false",
    autocomplete: "off", autocapitalize: "none"});
}

/** For a grid, {"parameters": {name: [values]}}, a list of jobs, or an object in each line. The server says
 * what is wrong, in the words that it has for a file. */
export function jsonEditor() {
  const text = textField("Jobs as JSON", JSON.stringify(EXAMPLE, null, 2), 12);
  const format = button("Format", () => {
    try {
      text.value = stringify(parse(text.value), "  ");
    } catch (error) { /* what is wrong is said below already */ }
  });
  const hint = "{\"parameters\": {name: [values]}} for a grid, or a list of objects, one for each job.";
  const node = el("div", {class: "create-edit"}, text,
    el("div", {class: "grid-foot"}, format, el("span", {class: "hint"}, hint)));
  return {
    node, hint: "A grid or a list of jobs.",
    read() { return text.value.trim() === "" ? null : {text: text.value, format: "json"}; },
    clear() { text.value = ""; },
  };
}

/** For a table with a line of names and a line for each job: typed, pasted, chosen or dropped as a file. */
export function tableEditor() {
  let held = null;  // the content of a file that is too long to be edited here
  const text = textField("Jobs as a table", "lr,epochs\n0.1,10\n0.01,20", 10);
  const file = el("input", {type: "file", accept: TABLES, class: "sr", tabindex: -1,
    "aria-label": "Choose a file", onchange: () => take(file.files[0])});
  const changed = () => {
    text.readOnly = held !== null;
    drop.hidden = held === null;
    text.dispatchEvent(new Event("input", {bubbles: true}));
  };
  const take = async (given) => {
    if (!given) return;
    const read = await given.text();
    held = read.length > LONG ? read : null;
    text.value = held === null ? read : `${given.name}: ${bytes(given.size)}, too long to be shown here`;
    changed();
  };
  const clear = () => {
    held = null;
    text.value = file.value = "";
    changed();
  };
  const drop = button("Remove the file", clear, "quiet");
  drop.hidden = true;
  const hint = "The first line holds the names; each other line is a job. Or drop a file here.";
  const node = el("div", {class: "create-edit"}, text,
    el("div", {class: "grid-foot"}, button("Choose a file", () => file.click()), file, drop,
      el("span", {class: "hint"}, hint)));
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
      const first = table.slice(0, table.indexOf("\n") + 1 || undefined);
      return {text: table, format: first.includes("\t") ? "tsv" : "csv"};
    },
    clear,
  };
}
