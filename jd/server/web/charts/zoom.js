// Ranges of a drawing by hand: drag across it for a range of x, along a diagonal for a box; double click or
// Escape leads back.

import {svg} from "../svg.js";
import {dragged} from "./range.js";

/** Listen to a drawing. `area()` gives the box of its axes; `zoom(range)` takes what `dragged` gives;
 * `reset()` leads back and gives whether there was something to lead back from; `hide()` hides its tip. Gives
 * {busy()}, whether somebody drags. */
export function zooming(surface, {area, zoom, reset, hide}) {
  let drag = null;
  const box = svg("rect", {class: "zoom-box", visibility: "hidden"});
  surface.append(box);
  const place = (event) => {
    const edge = surface.getBoundingClientRect();
    return [event.clientX - edge.left, event.clientY - edge.top];
  };

  function show(range) {
    const {left, top, width, height} = area();
    const [x1, x2] = range.x || [0, 1], [y1, y2] = range.y || [0, 1];
    const attributes = {x: left + x1 * width, width: (x2 - x1) * width,
      y: top + (1 - y2) * height, height: (y2 - y1) * height, visibility: "visible"};
    for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
  }

  surface.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    drag = {from: place(event), range: null};
  });
  surface.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const range = dragged(drag.from, place(event), area());
    if (!range) return;
    if (!drag.range) {
      surface.setPointerCapture(event.pointerId);
      hide();
    }
    drag.range = range;
    show(range);
  });
  const end = (taken) => {
    const range = drag && drag.range;
    drag = null;
    box.setAttribute("visibility", "hidden");
    if (!range) return;
    // The click that ends a drag is none on a curve.
    const swallow = (event) => event.stopImmediatePropagation();
    surface.addEventListener("click", swallow, {capture: true, once: true});
    setTimeout(() => surface.removeEventListener("click", swallow, {capture: true}));
    if (taken) zoom(range);
  };
  surface.addEventListener("pointerup", () => end(true));
  surface.addEventListener("pointercancel", () => end(false));
  surface.addEventListener("dblclick", reset);
  surface.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (drag) {
      drag.range = null;
      box.setAttribute("visibility", "hidden");
    } else if (!reset()) return;
    event.preventDefault();
  });
  return {busy: () => Boolean(drag && drag.range)};
}
