// Jobs as a text: JSON, or a table as spreadsheets write it. dialog.js says what an editor is.

import {button, el, touched} from "../../common.js";
import {parse, stringify} from "../../exactjson.js";
import {bytes} from "../../format.js";

const LONG = 1000000;  // characters; a longer text makes a text field slow
const EXAMPLE = {parameters: {lr: [0.1, 0.01], epochs: [10, 20]}};
const TABLES = ".csv,.tsv,.txt,text/csv,text/tab-separated-values";
const JSONS = ".json,.jsonl,.ndjson,application/json";

/** For a grid, {"parameters": {name: [values]}}, a list of jobs, an object in each line, or a space. The
 * server says what is wrong, in the words that it has for a file. */
export function jsonEditor() {
  const format = button("Format", () => {
    try {
      text.set(stringify(parse(text.value()), "  "));
    } catch (error) { /* what is wrong is said below already */ }
  });
  const text = textBox("Jobs as JSON", JSON.stringify(EXAMPLE, null, 2), JSONS,
    "A grid, a list of objects, one for each job, or a {\"space\": …}.", format);
  return {...text.editor, hint: "A grid, a list of jobs, or a space.",
    read: () => (text.value().trim() === "" ? null : {text: text.value(), format: "json"})};
}

/** For a table with a line of names and a line for each job. */
export function tableEditor() {
  const text = textBox("Jobs as a table", "lr,epochs\n0.1,10\n0.01,20", TABLES,
    "The first line holds the names; each other line is a job.");
  return {...text.editor, hint: "Paste a table, or choose a file.",
    read() {
      const table = text.value();
      if (table.trim() === "") return null;
      const first = table.slice(0, table.indexOf("\n") + 1 || undefined);
      return {text: table, format: first.includes("\t") ? "tsv" : "csv"};
    }};
}

// A text that is typed, pasted, chosen or dropped as a file: {value(), set(text), editor: {node, clear()}}.
function textBox(label, placeholder, accept, hint, ...tools) {
  let held = null;  // the content of a file that is too long to be edited here
  const text = el("textarea", {class: "create-text", rows: 10, "aria-label": label, placeholder,
    spellcheck: "false", autocomplete: "off", autocapitalize: "none"});
  const file = el("input", {type: "file", accept, class: "sr", tabindex: -1,
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
  const node = el("div", {class: "create-edit"}, text,
    el("div", {class: "grid-foot"}, button("Choose a file", () => file.click()), file, drop, ...tools,
      el("span", {class: "hint"}, touched() ? hint : hint + " Or drop a file here.")));
  node.addEventListener("dragover", (event) => event.preventDefault());
  node.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  return {
    value: () => (held === null ? text.value : held),
    set(content) {
      if (held === null) text.value = content;
    },
    editor: {node, clear},
  };
}
