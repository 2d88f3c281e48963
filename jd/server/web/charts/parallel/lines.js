// The lines of the parallel coordinates, painted on two canvases.

import {css, isDark, shadeAt, shades} from "../colours.js";
import {evenly, noise} from "../statistics.js";

export const MOST_LINES = 3000;
const DRAGGED_LINES = 400, MOST_DIM = 1000, SLICE = 300;
const REACH = 8;  // pixels from which a line is near

/** Where each job meets an axis. On an axis of slots jobs spread within theirs, so that one sees how many
 * there are. */
export function heights(data, column, axis, y) {
  const slots = axis.kind === "category" ? axis.distinct.length : 0;
  const spread = slots && column.values.length >= 4 * slots ? 0.28 / slots : 0;
  return Float32Array.from(column.values, (value, at) => y(axis.at(value) + spread * noise(data.ids[at])));
}

/** Paint the lines of all jobs with the pen `under`, where ranges are `brushed`, and those of the selected
 * jobs with the pen `over`. */
export function drawLines(view, {under, over, x, width, height, brushed}) {
  over.clearRect(0, 0, width, height);
  under.canvas.classList.toggle("gone", !brushed);
  if (brushed && !view.dimmed) {
    view.dimmed = true;
    under.strokeStyle = isDark() ? "rgb(255 255 255 / 7%)" : "rgb(0 0 0 / 6%)";
    for (const at of evenly(view.data.byGoodness, MOST_DIM)) stroke(under, view.tables, x, at);
  }
  const lines = evenly(view.selected, view.drag ? DRAGGED_LINES : MOST_LINES).slice().reverse();
  over.globalAlpha = Math.max(0.08, Math.min(0.9, 9 / Math.sqrt(lines.length)));
  over.lineWidth = lines.length < 100 ? 1.6 : 1.1;
  drawSlices(view, over, x, lines);
}

// Lines are drawn in slices, the worst first, so that the page answers meanwhile and the best lie on top.
function drawSlices(view, pen, x, lines) {
  const {data, tables} = view, colours = shades(isDark());
  let from = 0;
  const slice = () => {
    for (const at of lines.slice(from, from + SLICE)) {
      pen.strokeStyle = css(colours[shadeAt(data.goodness[at])]);
      stroke(pen, tables, x, at);
    }
    from += SLICE;
    if (from < lines.length) view.frame = requestAnimationFrame(slice);
  };
  cancelAnimationFrame(view.frame);
  slice();
}

// The line of one job, with a gap where it has no value.
function stroke(pen, tables, x, at) {
  let on = false;
  pen.beginPath();
  tables.forEach((table, index) => {
    if (Number.isNaN(table[at])) {
      on = false;
      return;
    }
    if (on) pen.lineTo(x(index), table[at]);
    else pen.moveTo(x(index), table[at]);
    on = true;
  });
  pen.stroke();
}

/** The job whose line passes nearest below or above a point; -1 where none is near. */
export function nearest({tables, selected}, x, gap, px, py) {
  const index = Math.floor((px - x(0)) / gap);
  if (index < 0 || index >= tables.length - 1) return -1;
  const share = (px - x(index)) / gap, one = tables[index], next = tables[index + 1];
  let best = -1, least = REACH;
  for (const at of selected) {
    const far = Math.abs(one[at] + (next[at] - one[at]) * share - py);
    if (far >= least || Number.isNaN(far)) continue;
    least = far;
    best = at;
  }
  return best;
}
