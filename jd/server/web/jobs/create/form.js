// The form of the dialog that makes jobs: a row for each parameter, of which all combinations are made, or
// samples.

import {button, el} from "../../common.js";
import {number} from "../../format.js";
import {combinations, jobAt, MOST} from "./grid.js";
import {parameterRow} from "./rows.js";
import {sampling} from "./sampling.js";

const WAYS = [[false, "All combinations"], [true, "Samples"]];

/** An editor (see dialog.js); `given` = {sampled, rows} is what its rows begin with, if anything is. */
export function formEditor(given) {
  const rows = el("div", {class: "grid-rows"});
  const sums = el("p", {class: "hint grid-sum"});
  const how = sampling();
  const isSampled = () => rows.classList.contains("sampled");
  const renumber = () => [...rows.children].forEach((row, at) => row.label(at + 1));
  const add = () => {
    const row = parameterRow(rows);
    rows.append(row);
    row.fit();
    renumber();
    return row;
  };
  const code = (text) => el("code", {}, text);
  const switches = WAYS.map(([sampled, label]) => el("button", {type: "button",
    onclick: () => { choose(sampled); node.dispatchEvent(new Event("input", {bubbles: true})); }}, label));
  const node = el("div", {class: "grid"},
    el("div", {class: "seg", role: "group", "aria-label": "Which jobs"}, ...switches),
    rows,
    el("div", {class: "grid-foot"},
      button("Add parameter", () => { add().querySelector("input").focus(); }), sums),
    el("p", {class: "hint"},
      "Values: ", code("0.1, 0.01"), " · ranges ", code("1..10"), " ", code("0..1 step 0.25"), " ",
      code("1e-5..1e-1 log 5"), " · text, true, false, null, JSON"),
    how.node);
  rows.addEventListener("moved", renumber);
  clear();
  if (given) {
    rows.replaceChildren();
    for (const one of given.rows) add().fill(one);
  }
  choose(Boolean(given && given.sampled));

  function choose(sampled) {
    rows.classList.toggle("sampled", sampled);
    how.node.hidden = !sampled;
    switches.forEach((one, at) => one.setAttribute("aria-pressed", String(WAYS[at][0] === sampled)));
    for (const row of rows.children) row.fit();
  }

  function clear() {
    rows.replaceChildren();
    add();
    add();
  }

  // The parameters that are filled in, as [name, what they can be]. Each row says what is wrong with it.
  function read() {
    const found = [], errors = [];
    for (const row of rows.children) {
      try {
        const one = row.read();
        if (one === null) continue;
        if (found.some(([name]) => name === one[0])) {
          row.say(`The parameter ${one[0]} is there twice.`, true);
          throw new Error(`The parameter ${one[0]} is there twice.`);
        }
        found.push(one);
      } catch (error) { errors.push(error); }
    }
    if (errors.length) throw errors[0];
    return found;
  }

  function combined(grid) {
    const total = combinations(grid);
    sums.textContent = grid.map(([, list]) => number(list.length)).join(" × ") + " = " + number(total);
    if (total > MOST) {
      throw new Error(`That makes ${number(total)} jobs; at most ${number(MOST)} at once. `
        + "Use fewer values, or create them in parts.");
    }
    return {parameters: Object.fromEntries(grid)};
  }

  return {
    node, hint: "Give a name and at least one value.",
    read() {
      sums.textContent = "";
      how.say({});
      const found = read();
      if (found.length === 0) return null;
      return isSampled() ? {space: Object.fromEntries(found), ...how.read()} : combined(found);
    },
    sample({parameters}, n) {
      if (!parameters) return null;  // the server draws them
      const grid = Object.entries(parameters), total = combinations(grid);
      const sample = Array.from({length: Math.min(n, total)}, (_, at) => jobAt(grid, at));
      return {total, names: grid.map(([name]) => name), sample};
    },
    refuse(message) {
      const [, name, rest] = /^(?:space:|parameter|parameter name) '([^']+)':? (.*)$/is.exec(message) || [];
      const row = name && [...rows.children].find((one) => one.called() === name);
      if (row) row.say(rest, true);
      return Boolean(row) || how.refuse(message);
    },
    clear,
  };
}
