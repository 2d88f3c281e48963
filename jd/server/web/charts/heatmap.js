// The metric over two parameters: a cell for each pair of values.

import {cut, number} from "../format.js";
import {svg} from "../svg.js";
import {numberAxis} from "./axis.js";
import {css, inkOn, isDark, shadeAt, shades} from "./colours.js";
import {legend, text, widthOf} from "./drawing.js";
import {pointing, tipLines} from "./pointing.js";
import {sorted} from "./statistics.js";

const TALL = 64;
export const WAYS = {mean: "mean", median: "median", best: "best"};

// An answer of /web/results/cells as a map: {across, down (axes), cells: rows of null or {n, value, best (id
// of the job), bestValue}}.
function mapOf({across, down, cells}, how) {
  const rows = down.bins.map(() => across.bins.map(() => null));
  for (const {across: x, down: y, n, mean, median, best, best_value: bestValue} of cells) {
    rows[y][x] = {n, value: {mean, median, best: bestValue}[how], best, bestValue};
  }
  return {across, down, cells: rows};
}

const binText = ({low, high}) =>
  (String(low) === String(high) ? text(low) : text(low) + " – " + text(high));

/** Draw an answer of /web/results/cells into a box. `options`: `how` ("mean", "median", "best"), `open` with
 * a bin of each axis and the best job there. Gives a note for people. */
export function heatmap(box, width, data, columnX, columnY, answer, options) {
  const made = mapOf(answer, options.how), {across, down, cells} = made;
  const labelsY = down.bins.map((bin, at) => cut(edgeText(down, at), Math.max(8, Math.floor(width / 34))));
  const left = Math.ceil(Math.max(...labelsY.map(widthOf))) + 16, top = 26, bottom = 46;
  const wide = (width - left - 8) / across.bins.length;
  const high = Math.max(18, Math.min(TALL, (Math.min(400, width * 0.8) - top - bottom) / down.bins.length));
  const height = top + bottom + high * down.bins.length;
  const area = {left, top, wide, high, height, columns: across.bins.length, rows: down.bins.length};
  const colours = shades(isDark());
  const surface = svg("svg", {
    class: "surface", width, height, tabindex: 0, role: "application",
    "aria-label": `${options.how} ${data.metric} by ${columnX.name} and ${columnY.name}. `
      + "Arrow keys go along the cells, Enter follows one."});
  // Low numbers lie at the bottom, the first text at the top.
  area.flip = columnY.kind !== "category";
  const rowAt = (row) => top + (area.flip ? down.bins.length - 1 - row : row) * high;
  // Either all values fit into their cells, or none is written.
  const words = cells.flat().map((cell) => (cell ? brief(cell.value) : ""));
  const written = Math.max(...words.map(widthOf)) + 6 <= wide && high >= 18;
  const {goodOf, ...range} = ofCells(data, cells);
  cells.forEach((row, y) => row.forEach((cell, x) => surface.append(
    ...drawCell(cell, {x: left + x * wide, y: rowAt(y), wide, high, colours, goodOf, written}))));
  surface.append(...labels(made, area, labelsY, columnX, columnY, rowAt));
  const frame = svg("rect", {class: "cell-frame", width: wide, height: high, rx: 3, visibility: "hidden"});
  surface.append(frame);
  box.append(surface, legend({name: options.how + " " + data.metric, less: data.less, ...range}, isDark()));
  point(surface, box, {made, area, frame, rowAt, data, columnX, columnY, options});
  const more = across.cut + down.cut;
  return more ? `${number(more)} more values are left out: a filter brings them in.` : "";
}

// The colours of a map span its own values, which differ less than those of single jobs.
function ofCells(data, cells) {
  const values = sorted(cells.flat().filter(Boolean).map((cell) => cell.value));
  const low = values[0], high = values[values.length - 1], axis = numberAxis(low, high, data.log);
  return {low, high, goodOf: (value) => (data.less ? 1 - axis.at(value) : axis.at(value))};
}

function drawCell(cell, {x, y, wide, high, colours, goodOf, written}) {
  const place = {x: x + 1, y: y + 1, width: Math.max(1, wide - 2), height: Math.max(1, high - 2), rx: 3};
  if (!cell) return [svg("rect", {class: "cell-empty", ...place})];
  const colour = colours[shadeAt(goodOf(cell.value))];
  const drawn = svg("rect", {...place, fill: css(colour)});
  if (!written) return [drawn];
  const middle = {x: x + wide / 2, y: y + high / 2 + 4, "text-anchor": "middle"};
  return [drawn, svg("text", {class: "cell-value " + inkOn(colour), ...middle}, brief(cell.value))];
}

// Three figures are enough inside a cell, two for the edge of a bin; the tooltip has more.
const brief = (value) => text(Number(value.toPrecision(3)));
const edge = (value) => text(Number(Number(value).toPrecision(2)));
function edgeText(part, at) {
  const {low, high} = part.bins[at];
  return part.single ? text(low) : edge(low) + " – " + edge(high);
}

function labels({across}, area, labelsY, columnX, columnY, rowAt) {
  const made = labelsY.map((words, row) => svg("text",
    {class: "tick", x: area.left - 8, y: rowAt(row) + area.high / 2 + 4, "text-anchor": "end"}, words));
  const base = area.top + area.rows * area.high;
  let last = -Infinity;
  const put = (words, x) => {
    const half = widthOf(words) / 2 + 2;
    if (x - half < last) return;
    last = x + half;
    made.push(svg("text", {class: "tick", x, y: base + 17, "text-anchor": "middle"}, words));
  };
  const right = area.left + area.columns * area.wide, most = Math.max(14, Math.floor(area.wide / 8));
  across.bins.forEach((bin, at) => {
    if (across.single) put(cut(text(bin.low), most), area.left + (at + 0.5) * area.wide);
    else put(edge(bin.low), area.left + at * area.wide);
  });
  if (!across.single) put(edge(across.bins[across.bins.length - 1].high), right - 8);
  const middle = (area.left + right) / 2;
  made.push(
    svg("text", {class: "title", x: middle, y: base + 37, "text-anchor": "middle"}, cut(columnX.name, 40)),
    svg("text", {class: "title", x: 2, y: 13}, cut(columnY.name, 40)));
  return made;
}

function point(surface, host, {made, area, frame, rowAt, data, columnX, columnY, options}) {
  const {across, down, cells} = made;
  const at = (mark) => [mark % area.columns, Math.floor(mark / area.columns)];
  pointing(surface, host, {
    near(px, py) {
      const x = Math.floor((px - area.left) / area.wide);
      const row = Math.floor((py - area.top) / area.high);
      const y = area.flip ? area.rows - 1 - row : row;
      return x >= 0 && x < area.columns && y >= 0 && y < area.rows ? y * area.columns + x : -1;
    },
    place(mark) {
      const [x, y] = at(mark);
      return [area.left + (x + 0.5) * area.wide, rowAt(y)];
    },
    name(mark) {
      const [x, y] = at(mark);
      return binText(across.bins[x]) + " " + binText(down.bins[y]);
    },
    lit(mark) {
      const [x, y] = at(mark);
      frame.setAttribute("visibility", mark < 0 ? "hidden" : "visible");
      if (mark < 0) return;
      frame.setAttribute("x", area.left + x * area.wide);
      frame.setAttribute("y", rowAt(y));
    },
    tell(mark) {
      const [x, y] = at(mark), cell = cells[y][x];
      const pairs = [
        [cut(columnX.name, 32), binText(across.bins[x])], [cut(columnY.name, 32), binText(down.bins[y])]];
      if (!cell) return tipLines("No job here", pairs);
      const best = "#" + cell.best + ": " + text(cell.bestValue);
      return tipLines(`${WAYS[options.how]} ${cut(data.metric, 32)}: ${text(cell.value)}`,
        [...pairs, ["jobs", number(cell.n)], ["best job", best]]);
    },
    open(mark) {
      const [x, y] = at(mark);
      if (cells[y][x]) options.open(across.bins[x], down.bins[y], cells[y][x].best);
    },
    order: () => Array.from({length: area.columns * area.rows}, (_, index) => index),
  });
}

/** The table behind the map: a row for each cell that has jobs. */
export function heatRows(data, columnX, columnY, answer, how) {
  const {across, down, cells} = mapOf(answer, how);
  const rows = cells.flatMap((row, y) => row.map((cell, x) => cell
    && [binText(across.bins[x]), binText(down.bins[y]), cell.value, cell.n]).filter(Boolean));
  return {heads: [columnX.name, columnY.name, how + " " + data.metric, "jobs"], rows};
}
