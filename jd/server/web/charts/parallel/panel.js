// The axes of the parallel coordinates as a list, for the keyboard and for exact ranges.

import {button, el} from "../../common.js";
import {cut} from "../../format.js";
import {text} from "../drawing.js";

/** The list: {node, fill(data, axes)}. `state` is that of the plot; `changed(shape)` is called after each
 * change. */
export function axesPanel({state, changed}) {
  const body = el("tbody", {});
  const heads = ["Axis", "From", "To", "Order"].map((head) => el("th", {scope: "col"}, head));
  const node = el("details", {class: "axes"}, el("summary", {}, "Axes and ranges"),
    el("div", {class: "scroll"},
      el("table", {class: "data"}, el("thead", {}, el("tr", {}, ...heads)), body)));
  let drawn = "";

  // Set one end (0: from, 1: to) of the range of a column.
  function range(column, end, value) {
    const first = edge(column, 0), last = edge(column, 1);
    const [low, high] = state.ranges.get(column.name) || [first, last];
    const next = end ? [low, value] : [value, high];
    const whole = next[0] === first && next[1] === last;
    if (whole) state.ranges.delete(column.name);
    else state.ranges.set(column.name, next);
    changed();
  }

  function ends({column, axis}, end) {
    const label = `${column.name}, ${end ? "to" : "from"}`;
    const attributes = {"aria-label": label, "data-end": end};
    if (axis.kind === "category") {
      const pick = (event) => range(column, end, column.distinct[event.target.value]);
      return el("select", {...attributes, onchange: pick},
        ...column.distinct.map((value, index) => el("option", {value: index}, cut(text(value), 40))));
    }
    const type = (event) => {
      const value = event.target.valueAsNumber;
      range(column, end, Number.isNaN(value) ? edge(column, end) : value);
    };
    return el("input", {...attributes, type: "number", step: "any", onchange: type});
  }

  function row(one, index, axes, data) {
    const {column} = one, own = column === data.column, name = column.name;
    const move = (by) => {
      const names = axes.slice(0, -1).map((other) => other.column.name);
      names.splice(index, 1);
      names.splice(index + by, 0, name);
      state.order = names;
      changed(true);
      const moved = [...body.rows].find((line) => line.dataset.name === name);
      const same = moved?.querySelector(by < 0 ? ".earlier:enabled" : ".later:enabled");
      (same || moved?.querySelector("td button:enabled"))?.focus();
    };
    const arrow = (words, by, label, allowed) => {
      const made = button(words, () => move(by), "small quiet " + (by < 0 ? "earlier" : "later"));
      made.setAttribute("aria-label", `${label}: ${name}`);
      made.disabled = !allowed;
      return made;
    };
    const hide = button("Hide", () => {
      state.hidden.add(name);
      state.ranges.delete(name);
      changed(true);
    }, "small quiet");
    hide.setAttribute("aria-label", "Hide " + name);
    const tools = own ? ["the metric"] : [
      arrow("←", -1, "Earlier", index > 0), arrow("→", 1, "Later", index < axes.length - 2), hide];
    return el("tr", {"data-name": name}, el("td", {title: name}, cut(name, 40)),
      el("td", {}, ends(one, 0)), el("td", {}, ends(one, 1)), el("td", {}, ...tools));
  }

  function hiddenRow({name}) {
    const show = button("Show", () => { state.hidden.delete(name); changed(true); }, "small quiet");
    return el("tr", {class: "over"}, el("td", {title: name}, cut(name, 40)),
      el("td", {colspan: 2}, "not shown"), el("td", {}, show));
  }

  function fill(data, axes) {
    const names = axes.map(({column, axis}) => [column.name, axis.distinct || 0]);
    const shape = JSON.stringify([names, [...state.hidden]]);
    if (shape !== drawn) {
      drawn = shape;
      const hidden = data.columns.filter((column) => state.hidden.has(column.name));
      body.replaceChildren(
        ...axes.map((one, index) => row(one, index, axes, data)), ...hidden.map(hiddenRow));
    }
    axes.forEach(({column, axis}, index) => {
      const chosen = state.ranges.get(column.name);
      for (const input of body.rows[index].querySelectorAll("[data-end]")) {
        const end = Number(input.dataset.end), outermost = edge(column, end);
        if (input === document.activeElement && axis.kind === "number") continue;
        if (axis.kind === "category") {
          input.value = column.distinct.indexOf(chosen ? chosen[end] : outermost);
        } else {
          input.value = chosen ? chosen[end] : "";
          input.placeholder = text(outermost);
        }
      }
    });
  }

  return {node, fill};
}

// The first (0) or last (1) value of a column.
const edge = ({distinct}, end) => distinct[end ? distinct.length - 1 : 0];
