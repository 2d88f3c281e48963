// A row of the form that makes jobs: a parameter with its values, or with what samples of it can be.

import {el} from "../../common.js";
import {number} from "../../format.js";
import {kind, values} from "./grid.js";
import {conditions, KINDS, range} from "./space.js";

const PLAIN = {autocomplete: "off", autocapitalize: "none", spellcheck: "false"};

/** A row among `rows`: an element that also has `label(place)`, `read(sampled)` and `say(text)`. */
export function parameterRow(rows) {
  const name = el("input",
    {type: "text", class: "grid-name", placeholder: "lr", maxlength: 128, ...PLAIN});
  const chosen = el("select", {class: "grid-kind"},
    ...KINDS.map(([value, label]) => el("option", {value}, label)));
  const list = el("textarea",
    {class: "grid-values", rows: 1, placeholder: "0.1, 0.01, 0.001", ...PLAIN});
  const end = (placeholder) =>
    el("input", {type: "text", class: "grid-end", inputmode: "decimal", placeholder, ...PLAIN});
  const low = end("lowest"), high = end("highest");
  const ends = el("div", {class: "grid-ends"}, low, el("span", {"aria-hidden": "true"}, "to"), high);
  const when = el("input", {type: "text", class: "grid-when", placeholder: "opt=sgd", ...PLAIN});
  const only = el("div", {class: "grid-only", hidden: true}, el("span", {}, "only when"), when);
  const more = el("button", {type: "button", class: "quiet icon grid-more", title: "Only when…",
    "aria-expanded": "false", onclick: () => {
      only.hidden = !only.hidden;
      more.setAttribute("aria-expanded", String(!only.hidden));
      if (!only.hidden) when.focus();
      row.dispatchEvent(new Event("input", {bubbles: true}));
    }}, "if");
  const said = el("p", {class: "say grid-say", "aria-live": "polite"});
  const tools = rowTools(() => row, () => {
    rows.dispatchEvent(new CustomEvent("moved"));
    rows.dispatchEvent(new Event("input", {bubbles: true}));
  });
  const row = el("div", {class: "grid-row", role: "group"},
    name, chosen, el("div", {class: "grid-what"}, list, ends),
    el("div", {class: "grid-tools"}, more, ...tools), only, said);
  const fit = () => {
    list.rows = Math.min(6, list.value.split("\n").length);
    list.hidden = row.kind() !== "list";
    ends.hidden = !list.hidden;
  };
  row.addEventListener("input", fit);

  /** What its parameter can be: a list, unless samples are made and somebody has chosen otherwise. */
  row.kind = () => (rows.classList.contains("sampled") ? chosen.value : "list");
  row.fit = fit;
  row.label = (place) => {
    row.setAttribute("aria-label", "Parameter " + place);
    for (const [one, text] of [[name, "Name"], [chosen, "Kind"], [list, "Values"], [low, "Lowest value"],
      [high, "Highest value"], [when, "Condition"]]) {
      one.setAttribute("aria-label", `${text} of parameter ${place}`);
    }
    for (const one of [more, ...tools]) one.setAttribute("aria-label", `${one.title}: parameter ${place}`);
  };
  row.say = (text, bad) => {
    said.textContent = text;
    said.className = "say grid-say" + (bad ? " bad" : "");
  };
  row.called = () => name.value.trim();

  /** Take what an address says of a parameter (prefill.js). */
  row.fill = (given) => {
    Object.assign(name, {value: given.name, title: given.name});
    Object.assign(chosen, {value: given.kind});
    Object.assign(list, {value: given.values});
    Object.assign(low, {value: given.low});
    Object.assign(high, {value: given.high});
    if (given.when) {
      Object.assign(when, {value: given.when});
      only.hidden = false;
      more.setAttribute("aria-expanded", "true");
    }
  };

  /** [name, values], of a sample [name, what it can be]; null while it is empty. Says below the row what is
   * wrong, or of which kind the values are. */
  row.read = () => {
    row.say("");
    const typed = row.kind() === "list" ? list.value.trim() : low.value.trim() + high.value.trim();
    if (row.called() === "" && typed === "") return null;
    try {
      return rows.classList.contains("sampled") ? sampled() : listed();
    } catch (error) {
      row.say(error.message, true);
      throw error;
    }
  };

  function listed() {
    const found = values(list.value);
    if (row.called() === "") throw new Error("Give this parameter a name.");
    if (found.length === 0) throw new Error(`Give ${row.called()} at least one value.`);
    const kinds = [...new Set(found.map(kind))].join(", ");
    row.say(`${number(found.length)} ${found.length === 1 ? "value" : "values"} · ${kinds}`);
    return [row.called(), found];
  }

  function sampled() {
    const condition = only.hidden ? null : conditions(when.value);
    let what = null;
    if (chosen.value === "list") {
      const [, found] = listed();
      if (found.length === 1) row.say("the same in all jobs");
      what = {values: found};
    } else {
      what = range(chosen.value, low.value.trim(), high.value.trim());
      if (row.called() === "") throw new Error("Give this parameter a name.");
    }
    return [row.called(), condition ? {...what, when: condition} : what];
  }

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
