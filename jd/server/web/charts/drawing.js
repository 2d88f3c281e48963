// What drawings are made of: texts that fit, canvases, axes with their grid, the legend of the colours.

import {el} from "../common.js";
import {cut, metric as figure} from "../format.js";
import {svg} from "../svg.js";
import {css, shades} from "./colours.js";

const WIDEST = 16000;  // pixels of a canvas; browsers draw nothing on a wider one

/** A value in a plot or table. */
export const text = (value) => (value === null || value === undefined ? "–" : figure(value));

const ruler = document.createElement("canvas").getContext("2d");

/** The width in pixels of a text as axes have it. */
export function widthOf(words) {
  ruler.font = "12px system-ui, sans-serif";
  return ruler.measureText(words).width;
}

/** A canvas as sharp as the screen, over the place of a drawing of this size. */
export function canvas(width, height) {
  const ratio = Math.min(2, devicePixelRatio || 1, WIDEST / width);
  const node = el("canvas",
    {width: Math.round(width * ratio), height: Math.round(height * ratio), "aria-hidden": "true"});
  node.style.setProperty("width", width + "px");
  node.style.setProperty("height", height + "px");
  const pen = node.getContext("2d");
  pen.scale(ratio, ratio);
  return {node, pen};
}

let ramps = 0;

/** The colour scale in words and colours, from worse to better: of `name`, from `low` to `high`; `beyond`
 * says that values lie outside of these. */
export function legend({name, less, low, high, beyond}, dark) {
  const ends = [(beyond ? "≤ " : "") + text(low), (beyond ? "≥ " : "") + text(high)];
  const id = "ramp-" + (ramps += 1), [worst, best] = less ? ends.reverse() : ends;
  const all = shades(dark), stops = [0, 8, 16, 24, 32, 40, 48, 56, 63].map((at) =>
    svg("stop", {offset: at / 63, "stop-color": css(all[at])}));
  const size = {width: 96, height: 10};
  const ramp = svg("svg",
    {...size, viewBox: "0 0 96 10", preserveAspectRatio: "none", "aria-hidden": "true"},
    svg("defs", {}, svg("linearGradient", {id}, ...stops)),
    svg("rect", {...size, rx: 3, fill: `url(#${id})`}));
  return el("div", {class: "legend"}, el("span", {}, cut(name, 36)),
    el("span", {}, "worse " + worst), ramp, el("span", {}, best + " better"));
}

/** Axis and grid below a drawing: labels that would touch are left out. */
export function below(axis, {left, width, top, height, title, scaleNote}) {
  const marks = [];
  let last = -Infinity;
  const count = axis.kind === "category" ? 200 : Math.max(4, Math.floor(width / 70));
  for (const tick of axis.ticks(count)) {
    const words = cut((axis.words || text)(tick), 14), half = widthOf(words) / 2 + 6;
    const x = left + axis.at(tick) * width;
    marks.push(svg("line", {class: "grid", x1: x, x2: x, y1: top, y2: top + height}));
    if (x - half < last) continue;
    last = x + half;
    marks.push(svg("text", {class: "tick", x, y: top + height + 17, "text-anchor": "middle"}, words));
  }
  const words = cut(title, Math.max(12, Math.floor(width / 8))) + (scaleNote || "");
  return svg("g", {class: "axis"}, ...marks,
    svg("text", {class: "title", x: left + width / 2, y: top + height + 37, "text-anchor": "middle"}, words,
      svg("title", {}, title)));
}

const upright = (axis, height) => axis.ticks(Math.max(4, Math.floor(height / 44)));

/** Axis and grid at the left of a drawing. */
export function beside(axis, {left, width, top, height, title}) {
  const marks = upright(axis, height).flatMap((tick) => {
    const y = top + (1 - axis.at(tick)) * height;
    return [svg("line", {class: "grid", x1: left, x2: left + width, y1: y, y2: y}),
      svg("text", {class: "tick", x: left - 8, y: y + 4, "text-anchor": "end"}, text(tick))];
  });
  return svg("g", {class: "axis"}, ...marks,
    svg("text", {class: "title", x: 2, y: 11},
      cut(title, Math.floor((left + width) / 8)), svg("title", {}, title)));
}

/** The width in pixels that the labels of an upright axis need. */
export function roomFor(axis, height) {
  const widths = upright(axis, height).map((tick) => widthOf(text(tick)));
  return Math.ceil(Math.max(24, ...widths) + 14);
}
