// Forms of settings that the server keeps. What somebody is changing is not overwritten by a refresh.

import {ask, button, el, fail, toast} from "../common.js";
import {duration} from "../format.js";

/** Numbers that are saved together: {node, fill(settings)}. `wanted`: [name, label, unit, what it means]
 * each; without a unit it is a text. */
export function numberForm(wanted, first) {
  const rows = wanted.map((one) => numberRow(...one, () => changed()));
  const problem = el("p", {class: "problem", role: "alert"});
  const save = el("button", {class: "primary"}, "Save");
  const undo = button("Undo", () => { rows.forEach((row) => row.reset()); changed(); }, "quiet");

  function changed() {
    const dirty = rows.some((row) => row.dirty());
    save.disabled = !dirty;
    undo.hidden = !dirty;
    problem.textContent = "";
  }

  async function submit(event) {
    event.preventDefault();
    const values = {};
    for (const row of rows.filter((one) => one.dirty())) {
      values[row.name] = row.value();
      if (values[row.name] === null) return row.input.focus();
    }
    save.disabled = true;
    try {
      await ask("settings", values);
      rows.forEach((row) => row.keep());
      changed();
      toast("Saved");
    } catch (error) {
      save.disabled = false;
      blame(error);
    }
    return undefined;
  }

  // The server's message stands below the field that it names.
  function blame(error) {
    const blamed = rows.find((row) => error.message.toLowerCase().includes(row.name));
    if (!blamed) {
      problem.textContent = error.message;
      return;
    }
    blamed.say(error.message);
    blamed.input.focus();
  }

  const node = el("form", {novalidate: true, onsubmit: submit},
    el("div", {class: "set-rows"}, ...rows.map((row) => row.node)),
    el("div", {class: "set-save"}, problem, undo, save));
  rows.forEach((row) => row.fill(first[row.name]));
  changed();
  return {node, fill: (found) => { rows.forEach((row) => row.fill(found[row.name])); changed(); }};
}

function numberRow(name, label, unit, means, onchange) {
  const id = "set-" + name;
  let kept = null;
  const isText = !unit;
  const inWords = el("span", {class: "unit"});
  const said = el("p", {class: "say", id: id + "-say", "aria-live": "polite"});
  const input = el("input", {id, inputmode: isText ? "text" : "decimal", autocomplete: "off",
    maxlength: isText ? 500 : 12, class: isText ? "mono wide" : null, spellcheck: "false",
    "aria-describedby": `${id}-means ${id}-say`, oninput: () => { say(""); words(); onchange(); }});
  const words = () => {
    const given = Number(input.value);
    inWords.textContent = unit === "seconds" && given >= 60 ? "s = " + duration(given) : unit;
  };
  const say = (text) => {
    said.textContent = text;
    said.className = "say bad";
    input.setAttribute("aria-invalid", String(Boolean(text)));
  };
  const set = (value) => { input.value = value == null ? "" : String(value); words(); };
  return {
    name, input, say,
    node: el("div", {class: "set-row"},
      el("label", {for: id}, label), el("span", {class: "set-measure"}, input, inWords),
      el("p", {class: "hint", id: id + "-means"}, means), said),
    dirty: () => input.value.trim() !== (kept == null ? "" : String(kept)),
    reset: () => { set(kept); say(""); },
    keep: () => { kept = isText ? input.value.trim() : Number(input.value); },
    fill(value) {
      const untouched = !this.dirty();
      kept = value;
      if (untouched && document.activeElement !== input) set(value);
    },
    value() {
      const text = input.value.trim();
      if (isText) return text;
      if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
      say(`Give a number of ${unit}, for instance ${kept ?? 10}.`);
      return null;
    },
  };
}

/** Switches, which take effect when they are turned: {node, fill(settings)}. `wanted`: [name, label, what it
 * means] each. */
export function switches(wanted, first) {
  const made = wanted.map((one) => switchRow(...one));
  const fill = (found) => made.forEach(({name, input}) => {
    if (!input.disabled) input.checked = Boolean(found[name]);
  });
  fill(first);
  return {node: el("div", {class: "set-rows"}, ...made.map((one) => one.node)), fill};
}

function switchRow(name, label, means) {
  const id = "set-" + name;
  const turn = async () => {
    input.disabled = true;
    try {
      await ask("settings", {[name]: input.checked});
      toast(`${label}: ${input.checked ? "on" : "off"}`);
    } catch (error) {
      input.checked = !input.checked;
      fail(error);
    }
    input.disabled = false;
    input.focus();
  };
  const input = el("input", {id, type: "checkbox", role: "switch", class: "set-switch",
    "aria-describedby": id + "-means", onchange: turn});
  const node = el("div", {class: "set-row"},
    el("label", {for: id}, label), input, el("p", {class: "hint", id: id + "-means"}, means));
  return {name, input, node};
}
