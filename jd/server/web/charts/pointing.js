// What a drawing tells when somebody points at it.

import {el} from "../common.js";
import {cut} from "../format.js";
import {tooltip} from "../svg.js";
import {text} from "./drawing.js";
import {telling} from "./telling.js";

const ASIDE = 16, NARROW = 440;  // pixels from the mark to the tip; the width of a drawing on a phone

/** What a job shows when pointed at; `first` are the columns that the plot is about. */
export function jobTip(data, at, first) {
  const columns = [...new Set([...first, ...data.columns])].slice(0, 9);
  const line = (name, value) => [el("dt", {}, cut(name, 32)), el("dd", {}, cut(text(value), 40))];
  return el("div", {}, el("b", {}, "Job #" + data.ids[at]),
    el("dl", {}, ...line(data.metric, data.values[at]),
      ...columns.flatMap((column) => line(column.name, column.raw[at]))));
}

/** Lines of a tooltip that is not about one job. */
export const tipLines = (head, pairs) => el("div", {}, el("b", {}, head),
  el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));

/** Make a surface tell of the mark that is nearest and open it on a click, by pointer, finger and keys.
 * `near(x, y)` gives a mark or -1; `place(mark, pointer)` its [x, y], `pointer` being where the pointer is,
 * if there is one; `tell(mark)` a node; `open(mark)` follows it; `order(mark)` lists marks as the arrow keys
 * go through them from the present one, -1 for none; with `along(mark, by)` left and right give the mark
 * beside it instead; `lit(mark)` is called at each change, with -1 for none; `ring` is put around the mark.
 * A drawing that takes the place of this one tells of the mark that is under the pointer then or, to the
 * keyboard, of the one with the same `name(mark)`, in which newer jobs change nothing.
 * A finger's first touch tells, the second opens. Gives the function that hides the tip; its `again`
 * tells anew, where the mark is now. */
export function pointing(surface, host, {
  near, place, tell, open, order, along, ring, lit, name = (mark) => mark}) {
  const tip = tooltip(host), spoken = el("p", {class: "sr", "aria-live": "polite"});
  host.append(spoken);
  let now = -1, under;  // the mark that is told, and where the pointer is
  const tells = telling(surface, ({pointer, mark, name: wanted}) => {
    if (pointer) point(near(...pointer), pointer);
    else point(order(mark).find((one) => name(one) === wanted) ?? -1);
  });
  const leave = () => {
    now = -1;
    tells(null);
    tip.hide();
    if (ring) ring.setAttribute("visibility", "hidden");
    if (lit) lit(-1);
    surface.classList.remove("on");
  };
  const point = (mark, pointer) => {
    if (mark < 0) return leave();
    under = pointer;
    tells({pointer, mark, name: name(mark)});
    if (mark === now) return;
    now = mark;
    const [x, y] = place(mark, pointer);
    if (lit) lit(mark);
    if (ring) {
      ring.setAttribute("cx", x);
      ring.setAttribute("cy", y);
      ring.setAttribute("visibility", "visible");
    }
    tip.show(x, y, tell(mark));
    if (host.clientWidth > NARROW) aside(x, y);
    surface.classList.add("on");
  };
  // Beside the mark the tip hides less of the drawing; a phone has no room there.
  const aside = (x, y) => {
    const {offsetWidth: wide, offsetHeight: high} = tip.node;
    const across = x < host.clientWidth / 2 ? x + ASIDE : x - ASIDE - wide;
    const down = Math.max(0, Math.min(y - high / 2, host.clientHeight - high));
    tip.node.style.setProperty("left", across + "px");
    tip.node.style.setProperty("top", down + "px");
  };
  const at = (event) => {
    const edge = surface.getBoundingClientRect();
    const pointer = [event.clientX - edge.left, event.clientY - edge.top];
    return [near(...pointer), pointer];
  };
  surface.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") point(...at(event));
  });
  surface.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") leave();
  });
  surface.addEventListener("click", (event) => {
    const [mark, pointer] = at(event), told = mark === now;
    point(mark, pointer);
    if (mark >= 0 && (told || event.pointerType !== "touch")) open(mark);
  });
  surface.addEventListener("blur", leave);
  surface.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    const sideways = along && now >= 0 && /Left|Right/.test(event.key);
    if (step) {
      const marks = sideways ? [along(now, step)] : order(now), from = marks.indexOf(now);
      if (!marks.length) return;
      point(marks[from < 0 ? 0 : (from + step + marks.length) % marks.length]);
      const parts = [...tip.node.querySelectorAll("b, dt, dd")];
      spoken.textContent = parts.map((part) => part.textContent).join(" ");
    } else if (event.key === "Enter" && now >= 0) open(now);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
  });
  leave.again = () => {
    const mark = now;
    now = -1;
    if (mark >= 0) point(mark, under);
  };
  return leave;
}
