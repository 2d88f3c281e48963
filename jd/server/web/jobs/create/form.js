// The form of the dialog that makes jobs: a row for each parameter, with its name and its values.

import {button, el} from "../../common.js";
import {number} from "../../format.js";
import {combinations, jobAt, kind, MOST, values} from "./grid.js";

/** An editor (see dialog.js). */
export function formEditor() {
  const rows = el("div", {class: "grid-rows"});
  const sums = el("p", {class: "hint grid-sum"});
  const renumber = () => [...rows.children].forEach((row, at) => row.label(at + 1));
  const add = () => {
    const row = gridRow(rows);
    rows.append(row);
    renumber();
    return row;
  };
  const code = (text) => el("code", {}, text);
  const node = el("div", {class: "grid"},
    el("div", {class: "grid-heads", "aria-hidden": "true"},
      el("span", {}, "Parameter"), el("span", {}, "Values")),
    rows,
    el("div", {class: "grid-foot"},
      button("Add parameter", () => { add().querySelector("input").focus(); }), sums),
    el("p", {class: "hint"},
      "Values: ", code("0.1, 0.01"), " · ranges ", code("1..10"), " ", code("0..1 step 0.25"), " ",
      code("1e-5..1e-1 log 5"), " · text, true, false, null, JSON"));
  rows.addEventListener("moved", renumber);
  add();
  add();

  // The parameters that are filled in, as [name, values].
  function read() {
    const grid = [];
    for (const row of rows.children) {
      const one = row.read();
      if (one === null) continue;
      if (grid.some(([name]) => name === one[0])) throw new Error(`The parameter ${one[0]} is there twice.`);
      grid.push(one);
    }
    return grid;
  }

  return {
    node, hint: "Give a name and at least one value.",
    read() {
      const grid = read();
      sums.textContent = "";
      if (grid.length === 0) return null;
      const total = combinations(grid);
      sums.textContent = grid.map(([, list]) => number(list.length)).join(" × ") + " = " + number(total);
      if (total > MOST) {
        throw new Error(`That makes ${number(total)} jobs; at most ${number(MOST)} at once. `
          + "Use fewer values, or create them in parts.");
      }
      return {parameters: Object.fromEntries(grid)};
    },
    sample({parameters}, n) {
      const grid = Object.entries(parameters), total = combinations(grid);
      const sample = Array.from({length: Math.min(n, total)}, (_, at) => jobAt(grid, at));
      return {total, names: grid.map(([name]) => name), sample};
    },
    clear() { rows.replaceChildren(); add(); add(); },
  };
}

const PLAIN = {autocomplete: "off", autocapitalize: "none", spellcheck: "false"};

function gridRow(rows) {
  const name = el("input",
    {type: "text", class: "grid-name", placeholder: "lr", maxlength: 128, ...PLAIN});
  const list = el("textarea",
    {class: "grid-values", rows: 1, placeholder: "0.1, 0.01, 0.001", ...PLAIN});
  const say = el("p", {class: "say grid-say"});
  const tools = rowTools(() => row, () => {
    rows.dispatchEvent(new CustomEvent("moved"));
    rows.dispatchEvent(new Event("input", {bubbles: true}));
  });
  const row = el("div", {class: "grid-row", role: "group"},
    name, list, el("div", {class: "grid-tools"}, ...tools), say);
  list.addEventListener("input", () => { list.rows = Math.min(6, list.value.split("\n").length); });
  row.label = (place) => {
    row.setAttribute("aria-label", "Parameter " + place);
    name.setAttribute("aria-label", `Name of parameter ${place}`);
    list.setAttribute("aria-label", `Values of parameter ${place}`);
    tools.forEach((one) => one.setAttribute("aria-label", `${one.title}: parameter ${place}`));
  };
  /** [name, values], null while it is empty; says below the row what is wrong or of which kind they are. */
  row.read = () => {
    const said = (text, bad) => {
      say.textContent = text;
      say.className = "say grid-say" + (bad ? " bad" : "");
    };
    said("");
    const called = name.value.trim();
    if (called === "" && list.value.trim() === "") return null;
    let found;
    try {
      found = values(list.value);
    } catch (error) {
      said(error.message, true);
      throw error;
    }
    if (called === "" || found.length === 0) {
      const missing = found.length ? "Give this parameter a name." : `Give ${called} at least one value.`;
      said(missing, true);
      throw new Error(missing);
    }
    const kinds = [...new Set(found.map(kind))].join(", ");
    said(`${number(found.length)} ${found.length === 1 ? "value" : "values"} · ${kinds}`);
    return [called, found];
  };
  return row;
}

// Buttons that move or remove `row()`; `changed` is called afterwards.
function rowTools(row, changed) {
  const move = (step) => {
    const here = row(), other = step < 0 ? here.previousElementSibling : here.nextElementSibling;
    if (!other) return;
    if (step < 0) other.before(here);
    else other.after(here);
    changed();
  };
  const remove = () => {
    const next = row().nextElementSibling || row().previousElementSibling;
    row().remove();
    changed();
    if (next) next.querySelector("input").focus();
  };
  const tool = (sign, label, act) =>
    el("button", {type: "button", class: "quiet icon", title: label, onclick: act}, sign);
  return [
    tool("↑", "Move up", () => move(-1)), tool("↓", "Move down", () => move(1)),
    tool("×", "Remove", remove)];
}
