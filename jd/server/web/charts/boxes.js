// The metric by the values of a parameter: a box for each.

import {el} from "../common.js";
import {cut, number} from "../format.js";
import {svg} from "../svg.js";
import {numberAxis} from "./axis.js";
import {css, isDark, shadeAt, shades} from "./colours.js";
import {below, text, widthOf} from "./drawing.js";
import {pointing, tipLines} from "./pointing.js";

const TALL = 300, FEW = 5, LEAST = 5;  // pixels, jobs, pixels of a box

// The groups with words for their values. Two that look alike with the digits that matter are two all the
// same, and then have all of theirs.
function named(groups) {
  const alike = new Map();
  for (const {value} of groups) alike.set(text(value), (alike.get(text(value)) || 0) + 1);
  const whole = (value) => (alike.get(text(value)) > 1 ? String(value) : text(value));
  const words = (value) => (value === null ? "none" : whole(value));
  return groups.map((group) => ({...group, words: words(group.value)}));
}

/** Draw the boxes of an answer of /web/results/boxes. `options`: `open(job id)`. Gives a note for people. */
export function boxes(box, width, data, column, {total, boxes: groups}, options) {
  const shown = named(groups);
  const axis = numberAxis(data.min, data.max, data.log);
  const most = Math.max(6, Math.floor(width * 0.3 / 7));
  const label = (group) => cut(group.words, most);
  const top = 8, left = Math.ceil(Math.max(...shown.map((group) => widthOf(label(group))))) + 18;
  const row = Math.max(34, Math.min(52, TALL / shown.length)), middle = (index) => top + (index + 0.5) * row;
  const right = Math.ceil(widthOf("n = " + number(data.total))) + 14;
  const area = {left, top, width: width - left - right, height: shown.length * row};
  const height = top + area.height + 46;
  const x = (value) => left + 6 + axis.at(value) * (area.width - 12);
  const marks = [];
  const surface = svg("svg", {
    class: "surface", width, height, tabindex: 0, role: "application",
    "aria-label": `${data.metric} by ${column.name}: ${shown.length} values. `
      + "Arrow keys go along them; the table has the numbers."},
  below(axis, {...area, left: left + 6, width: area.width - 12,
    title: data.metric, scaleNote: data.log ? " (log scale)" : ""}));
  shown.forEach((group, index) => surface.append(...drawGroup(group, middle(index), x,
    {data, left, end: width - right, label: label(group), marks, half: Math.min(14, row * 0.3)})));
  const ring = svg("circle", {class: "ring", r: 7, visibility: "hidden"});
  surface.append(ring);
  box.append(surface);
  point(surface, box, {marks, shown, data, column, ring, x, middle, row, open: options.open});
  return total > shown.length ? `The best ${shown.length} of ${number(total)} values by their median.` : "";
}

function drawGroup(group, y, x, {data, left, end, label, marks, half}) {
  const colours = shades(isDark());
  const dot = ([id, value]) => {
    const place = x(value);
    marks.push({id, value, group, x: place, y});
    return svg("circle", {class: "point", cx: place.toFixed(1), cy: y, r: 3.5,
      fill: css(colours[shadeAt(data.goodOf(value))])});
  };
  const drawn = [svg("text", {class: "tick strong", x: left - 8, y: y + 4, "text-anchor": "end"}, label),
    svg("text", {class: "tick", x: end + 10, y: y + 4}, "n = " + number(group.n))];
  if (group.n < FEW) return [...drawn, ...group.points.map(dot)];
  const [low, q1, median, q3, high] = [group.low, group.q1, group.median, group.q3, group.high].map(x);
  const shade = css(colours[shadeAt(data.goodOf(group.median))]);
  // Of values that agree the box is the median: a line through it would leave nothing of it.
  const wide = q3 - q1, line = wide < 2 * LEAST;
  const whisker = (x1, x2, y1, y2) => svg("line", {class: "whisker", x1, x2, y1, y2});
  return [
    ...drawn,
    whisker(low, high, y, y), whisker(low, low, y - 5, y + 5), whisker(high, high, y - 5, y + 5),
    svg("rect", {class: "box", x: line ? median - LEAST / 2 : q1, y: y - half, width: line ? LEAST : wide,
      height: 2 * half, rx: line ? 1 : 3, fill: shade}),
    ...(line ? [] : [svg("line", {class: "median", x1: median, x2: median, y1: y - half, y2: y + half})]),
    ...group.points.map(dot)];
}

// What can be pointed at: the rows, and after them (in numbers) the points that stand alone.
function point(surface, host, {marks, shown, data, column, ring, x, middle, row, open}) {
  const rows = shown.length;
  const span = (low, high) => text(low) + " – " + text(high);
  const tell = (group) => tipLines(column.name + " = " + cut(group.words, 40), [
    ["jobs", number(group.n)], ["median", text(group.median)], ["quartiles", span(group.q1, group.q3)],
    ["whiskers", span(group.low, group.high)], ["all", span(group.min, group.max)]]);
  const tellJob = ({id, value, group}) => tipLines("Job #" + id,
    [[cut(data.metric, 32), text(value)], [cut(column.name, 32), cut(group.words, 40)]]);
  pointing(surface, host, {
    near(px, py) {
      let best = -1, least = 10 * 10;
      marks.forEach((mark, index) => {
        const far = (mark.x - px) * (mark.x - px) + (mark.y - py) * (mark.y - py);
        if (far > least) return;
        least = far;
        best = rows + index;
      });
      if (best >= 0) return best;
      const index = Math.floor((py - middle(0)) / row + 0.5);
      return index >= 0 && index < rows && shown[index].n >= FEW ? index : -1;
    },
    place(mark) {
      if (mark < rows) return [x(shown[mark].median), middle(mark) - 9];
      const {x: across, y} = marks[mark - rows];
      return [across, y];
    },
    name: (mark) => (mark < rows ? shown[mark].words : marks[mark - rows].id),
    tell: (mark) => {
      ring.classList.toggle("gone", mark < rows);
      return mark < rows ? tell(shown[mark]) : tellJob(marks[mark - rows]);
    },
    open: (mark) => { if (mark >= rows) open(marks[mark - rows].id); },
    order: () => Array.from({length: rows + marks.length}, (_, index) => index),
    ring,
  });
}

/** The table behind the boxes. */
export function boxRows(column, {boxes: groups}) {
  const line = ({words, n, min, q1, median, q3, max}) => [el("span", {}, words), n, min, q1, median, q3, max];
  return {heads: [column.name, "jobs", "least", "lower quartile", "median", "upper quartile", "most"],
    rows: named(groups).map(line)};
}
