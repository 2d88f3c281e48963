// What charts are drawn with. Attributes only: the pages' policy forbids style attributes.

import {el} from "./common.js";

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element; `on…` are listeners, text children are appended as text. */
export function svg(tag, attrs, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attrs || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value != null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** A function from [low, high] to [from, to] with `invert`, `domain`, `range`, `log`. */
export function scale(domain, range, log = false) {
  const turn = log ? Math.log10 : (x) => x;
  const back = log ? (x) => 10 ** x : (x) => x;
  const [low, high] = domain.map(turn), [from, to] = range;
  const span = high - low || 1;
  const made = (x) => from + ((turn(x) - low) / span) * (to - from);
  made.invert = (y) => back(low + ((y - from) / (to - from || 1)) * span);
  return Object.assign(made, {domain, range, log});
}

/** About `count` round numbers from min to max, within them. */
export function ticks(min, max, count = 5) {
  if (!(max > min)) return [min];
  const raw = (max - min) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((times) => times * power >= raw * 0.999) || 10);
  const first = Math.ceil(min / step - 1e-9), last = Math.floor(max / step + 1e-9);
  const length = Math.max(0, last - first) + 1;
  return Array.from({length}, (_, at) => Number(((first + at) * step).toPrecision(12)));
}

/** Ticks of a logarithmic axis: powers of ten, with 2 and 5 between them where there are few. */
export function logTicks(min, max, count = 6) {
  const low = Math.floor(Math.log10(min)), high = Math.ceil(Math.log10(max));
  const every = Math.max(1, Math.ceil((high - low) / count)), found = [];
  const steps = high - low <= 2 ? [1, 2, 5] : [1];
  for (let power = low; power <= high; power += every) {
    for (const times of steps) found.push(Number((times * 10 ** power).toPrecision(12)));
  }
  return found.filter((tick) => tick >= min * 0.999999 && tick <= max * 1.000001);
}

/** A horizontal axis with labels below `y`; `text` makes labels. Classes: .axis, .tick. */
export function axisX(along, y, marks, text) {
  return svg("g", {class: "axis"},
    svg("line", {x1: along.range[0], x2: along.range[1], y1: y + 0.5, y2: y + 0.5}),
    ...marks.map((mark) =>
      svg("text", {class: "tick", x: along(mark), y: y + 16, "text-anchor": "middle"}, text(mark))));
}

/** A vertical axis with labels left of `x`, and grid lines up to `width`. Class .grid. */
export function axisY(along, x, width, marks, text) {
  return svg("g", {class: "axis"}, ...marks.flatMap((mark) => {
    const y = Math.round(along(mark)) + 0.5;
    return [svg("line", {class: "grid", x1: x, x2: x + width, y1: y, y2: y}),
      svg("text", {class: "tick", x: x - 8, y: y + 4, "text-anchor": "end"}, text(mark))];
  }));
}

/** A tooltip within `host` (which is positioned): show(x, y, ...children) in its pixels, and hide(). */
export function tooltip(host) {
  const box = el("div", {class: "tip", hidden: true, "aria-hidden": "true"});
  host.append(box);
  return {
    node: box,
    show(x, y, ...children) {
      box.replaceChildren(...children);
      box.hidden = false;
      const left = Math.max(0, Math.min(x - box.offsetWidth / 2, host.clientWidth - box.offsetWidth));
      const above = y - box.offsetHeight - 10;
      box.style.setProperty("left", left + "px");
      box.style.setProperty("top", (above < -20 ? y + 14 : above) + "px");
    },
    hide() { box.hidden = true; },
  };
}
