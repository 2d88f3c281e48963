// Ranges and the order of axes by hand: drag along an axis for a range, click on it to end one; drag its name
// sideways to move it.

import {svg} from "../../svg.js";
import {places} from "./axes.js";

const rounded = (end) => (typeof end === "number" ? Number(end.toPrecision(4)) : end);
const clamp = (low, high, value) => Math.max(low, Math.min(high, value));

/** Draw the ranges into `group`. */
export function drawBrushes(group, axes, {ranges}, x, y) {
  group.replaceChildren(...axes.flatMap(({column, axis}, index) => {
    if (!ranges.has(column.name)) return [];
    const [from, to] = places(axis, ranges.get(column.name)).map((place) => clamp(-0.01, 1.01, place));
    return [svg("rect", {class: "brush", x: x(index) - 7, y: y(to), width: 14,
      height: Math.max(3, y(from) - y(to)), rx: 3})];
  }));
}

/** Listen to the drawing `front`; `hide` hides its tip, `changed(shape)` is called at each change, and when a
 * drag is over. */
export function brushing(front, {axes, state, y, gap, view, hide, changed}) {
  front.addEventListener("pointerdown", (event) => {
    const group = event.target.closest("[data-axis]");
    if (!group || event.button) return;
    const name = group.dataset.axis;
    const drag = event.target.classList.contains("grab-name") ? moving(group, name, event)
      : ranging(axes.find(({column}) => column.name === name), event);
    view.drag = true;
    hide();
    front.setPointerCapture(event.pointerId);
    const end = (next) => {
      front.removeEventListener("pointermove", drag.move);
      for (const kind of ["pointerup", "pointercancel"]) front.removeEventListener(kind, end);
      view.drag = false;
      drag.end(next);
    };
    front.addEventListener("pointermove", drag.move);
    for (const kind of ["pointerup", "pointercancel"]) front.addEventListener(kind, end);
  });

  // The name of an axis follows the pointer; the axis moves when it is let go.
  function moving(group, name, {clientX: start}) {
    return {
      move: (event) => group.setAttribute("transform", `translate(${event.clientX - start} 0)`),
      end: (event) => reorder(name, Math.round((event.clientX - start) / gap)),
    };
  }

  function reorder(name, by) {
    const names = axes.slice(0, -1).map(({column}) => column.name), at = names.indexOf(name);
    if (at >= 0 && by) {
      names.splice(at, 1);
      names.splice(clamp(0, names.length, at + by), 0, name);
      state.order = names;
    }
    changed(true);
  }

  // A range on an axis from where the pointer went down.
  function ranging({column: {name}, axis}, start) {
    const long = y(0) - y(1);
    const place = (event) => 1 - (event.clientY - front.getBoundingClientRect().top - y(1)) / long;
    const from = place(start);
    let moved = false, frame = 0;
    return {
      move(event) {
        const to = place(event);
        if (!moved && Math.abs(to - from) * long < 4) return;
        moved = true;
        const ends = [Math.min(from, to), Math.max(from, to)].map((at) => axis.back(clamp(0, 1, at)));
        state.ranges.set(name, ends.map(rounded));
        cancelAnimationFrame(frame);
        frame = requestAnimationFrame(() => changed());
      },
      end() {
        cancelAnimationFrame(frame);
        if (moved || state.ranges.delete(name)) changed();
      },
    };
  }
}
