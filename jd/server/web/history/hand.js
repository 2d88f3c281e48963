// What the timeline tells when somebody points at it, by pointer, finger and keys; and the choice of a range.

import {telling} from "../charts/telling.js";
import {el} from "../common.js";
import {svg, tooltip} from "../svg.js";
import {ROW} from "./painting.js";

const DRAGGED = 6;  // pixels

/** Make a surface tell. `rows` lists for each row its marks from left to right, {key, from, to, tell(),
 * open()} with places in pixels, and a key that the mark has in later drawings as well; `area` is {left, top,
 * width}; `range(from, to)` is called with pixels of the area after a drag. Arrow keys go from mark to mark
 * and from row to row, Enter follows, Escape ends. */
export function hand(surface, host, {rows, area, range}) {
  const tip = tooltip(host), spoken = el("p", {class: "sr", "aria-live": "polite"});
  const frame = svg("rect", {class: "timeline-frame", height: ROW - 4, rx: 2, visibility: "hidden"});
  const chosen = svg("rect", {class: "timeline-range", y: area.top, height: rows.length * ROW,
    visibility: "hidden"});
  host.append(spoken);
  surface.append(frame, chosen);
  let now = null, began = null, touched = false;

  const tells = telling(surface, ({pointer, key}) => {
    const placeIn = (marks) => marks.findIndex((mark) => mark.key === key);
    const row = rows.findIndex((marks) => placeIn(marks) >= 0);
    if (pointer) seek(pointer);
    else if (row >= 0) point(row, placeIn(rows[row]));
  });
  const leave = () => {
    now = null;
    tells(null);
    tip.hide();
    frame.setAttribute("visibility", "hidden");
    surface.classList.remove("on");
  };
  const point = (row, place, pointer) => {
    const mark = rows[row] && rows[row][place];
    if (!mark) return leave();
    tells({pointer, key: mark.key});
    if (now && now.row === row && now.place === place) return undefined;
    now = {row, place};
    const x = area.left + mark.from, wide = Math.max(3, mark.to - mark.from), y = area.top + row * ROW;
    for (const [name, value] of Object.entries({x, y: y + 2, width: wide, visibility: "visible"})) {
      frame.setAttribute(name, value);
    }
    surface.classList.toggle("on", Boolean(mark.open));
    tip.show(Math.min(x + wide / 2, area.left + area.width), y, mark.tell());
    return undefined;
  };
  const speak = () => {
    spoken.textContent = [...tip.node.querySelectorAll("b, dt, dd")].map((one) => one.textContent).join(" ");
  };
  const at = (event) => {
    const edge = surface.getBoundingClientRect();
    return [event.clientX - edge.left - area.left, event.clientY - edge.top - area.top];
  };
  const near = (row, x) => {
    let best = -1, least = DRAGGED;
    (rows[row] || []).forEach(({from, to, narrow}, place) => {
      const far = Math.max(from - x, x - to, 0) - (narrow && x >= from - 3 && x <= to + 3 ? 1 : 0);
      if (far < least || (far === least && narrow)) {
        least = far;
        best = place;
      }
    });
    return best;
  };
  const seek = ([x, y]) => {
    const row = Math.floor(y / ROW);
    point(row, near(row, x), [x, y]);
  };
  const clamp = (x) => Math.max(0, Math.min(area.width, x));

  surface.addEventListener("pointerdown", (event) => {
    touched = event.pointerType === "touch";
    if (event.button || touched) return;
    [began] = at(event);
    surface.setPointerCapture(event.pointerId);
  });
  surface.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    if (began === null) return seek(at(event));
    const [x] = at(event), from = clamp(Math.min(began, x)), to = clamp(Math.max(began, x));
    if (to - from < DRAGGED) return undefined;
    leave();
    chosen.setAttribute("x", area.left + from);
    chosen.setAttribute("width", to - from);
    return chosen.setAttribute("visibility", "visible");
  });
  surface.addEventListener("pointerup", (event) => {
    const [x] = at(event), from = began;
    began = null;
    chosen.setAttribute("visibility", "hidden");
    if (from !== null && Math.abs(x - from) >= DRAGGED) {
      range(clamp(Math.min(from, x)), clamp(Math.max(from, x)));
      return;
    }
    const before = now && `${now.row} ${now.place}`;
    seek(at(event));
    const told = now && before === `${now.row} ${now.place}`;
    // A finger's first touch tells, the second opens.
    if (now && (told || !touched)) rows[now.row][now.place].open?.();
  });
  surface.addEventListener("pointercancel", () => { began = null; });
  surface.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") leave(); });
  surface.addEventListener("blur", leave);
  surface.addEventListener("keydown", (event) => {
    const along = {ArrowRight: 1, ArrowLeft: -1}[event.key], down = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (along) {
      const row = now ? now.row : rows.findIndex((marks) => marks.length);
      const n = (rows[row] || []).length;
      if (n) point(row, now ? Math.max(0, Math.min(n - 1, now.place + along)) : 0);
    } else if (down) {
      let row = now ? now.row + down : 0;
      while (rows[row] && !rows[row].length) row += down;
      const x = now ? (rows[now.row][now.place].from + rows[now.row][now.place].to) / 2 : 0;
      if (rows[row]) point(row, closest(rows[row], x));
    } else if (event.key === "Enter" && now) rows[now.row][now.place].open?.();
    else if (event.key === "Escape") leave();
    else return;
    if (now) speak();
    event.preventDefault();
  });
}

function closest(marks, x) {
  const far = ({from, to}) => Math.max(from - x, x - to, 0);
  return marks.reduce((best, mark, place) => (far(mark) < far(marks[best]) ? place : best), 0);
}
