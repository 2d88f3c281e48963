// The axes of the parallel coordinates as a list, for the keyboard and for exact ranges.

import {button, el} from "../../common.js";
import {cut, text} from "../plot.js";

/** The list: {node, fill(data, axes)}. `state` is that of the plot; `changed(shape)` is called after each change. */
export function axesPanel({state, changed}) {
  const body = el("tbody", {});
  const node = el("details", {class: "axes"}, el("summary", {}, "Axes and ranges"),
    el("div", {class: "scroll"}, el("table", {class: "data"}, el("thead", {}, el("tr", {},
      ...["Axis", "From", "To", "Order"].map((head) => el("th", {scope: "col"}, head)))), body)));
  let drawn = "";

  function range(column, end, value) {
    const first = column.distinct[0], last = column.distinct[column.distinct.length - 1];
    const [low, high] = state.ranges.get(column.name) || [first, last];
    const next = end ? [low, value] : [value, high];
    const whole = next[0] === first && next[1] === last;
    if (whole) state.ranges.delete(column.name); else state.ranges.set(column.name, next);
    changed();
  }

  function ends({column, axis}, end) {
    const label = `${column.name}, ${end ? "to" : "from"}`;
    const pick = (event) => range(column, end, column.distinct[event.target.value]);
    if (axis.kind === "category") return el("select", {"aria-label": label, "data-end": end, onchange: pick},
      ...column.distinct.map((value, index) => el("option", {value: index}, cut(text(value), 40))));
    return el("input", {type: "number", step: "any", "aria-label": label, "data-end": end, onchange: (event) => {
      const value = event.target.valueAsNumber;
      range(column, end, Number.isNaN(value) ? column.distinct[end ? column.distinct.length - 1 : 0] : value);
    }});
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
      const arrow = moved && (moved.querySelector(by < 0 ? ".earlier:enabled" : ".later:enabled") || moved.querySelector("td button:enabled"));
      if (arrow) arrow.focus();
    };
    const arrow = (words, by, label, allowed) => {
      const made = button(words, () => move(by), "small quiet " + (by < 0 ? "earlier" : "later"));
      made.setAttribute("aria-label", `${label}: ${name}`);
      made.disabled = !allowed;
      return made;
    };
    const hide = button("Hide", () => { state.hidden.add(name); state.ranges.delete(name); changed(true); }, "small quiet");
    hide.setAttribute("aria-label", "Hide " + name);
    return el("tr", {"data-name": name}, el("td", {class: "cut", title: name}, name), el("td", {}, ends(one, 0)), el("td", {}, ends(one, 1)),
      el("td", {}, ...(own ? ["the metric"] : [arrow("←", -1, "Earlier", index > 0), arrow("→", 1, "Later", index < axes.length - 2), hide])));
  }

  function fill(data, axes) {
    const shape = JSON.stringify([axes.map(({column, axis}) => [column.name, axis.distinct || 0]), [...state.hidden]]);
    if (shape !== drawn) {
      drawn = shape;
      const hidden = data.columns.filter((column) => state.hidden.has(column.name));
      body.replaceChildren(...axes.map((one, index) => row(one, index, axes, data)), ...hidden.map(({name}) => el("tr", {class: "over"},
        el("td", {class: "cut", title: name}, name), el("td", {colspan: 2}, "not shown"), el("td", {},
          button("Show", () => { state.hidden.delete(name); changed(true); }, "small quiet")))));
    }
    axes.forEach(({column, axis}, index) => {
      const chosen = state.ranges.get(column.name);
      for (const input of body.rows[index].querySelectorAll("[data-end]")) {
        const end = Number(input.dataset.end), edge = column.distinct[end ? column.distinct.length - 1 : 0];
        if (input === document.activeElement && axis.kind === "number") continue;
        if (axis.kind === "category") input.value = column.distinct.indexOf(chosen ? chosen[end] : edge);
        else { input.value = chosen ? chosen[end] : ""; input.placeholder = text(edge); }
      }
    });
  }
  return {node, fill};
}
