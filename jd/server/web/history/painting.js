// The rows of the timeline on a canvas: who was there, what ran, what happened.

import {canvas} from "../charts/drawing.js";
import {KINDS, brushes} from "./kinds.js";
import {eventKind} from "./spans.js";

export const ROW = 24;  // pixels of a row
const BAR = 16, THINNEST = 1.5, TICK = 3;
// From the ground up, so that what went wrong is at the top.
const ORDER = ["done", "running", "returned", "lost", "failed"];

/** A canvas of the rows of an answer; `x(moment)` gives a place, `host` is where it will stand. */
export function paint(host, answer, width, x) {
  const {node, pen} = canvas(width, Math.max(1, answer.rows.length * ROW)), paints = brushes(host, pen);
  answer.rows.forEach((row, at) => {
    const top = at * ROW + (ROW - BAR) / 2;
    if (row.cells) cells(pen, paints, row, top, width);
    else {
      pen.fillStyle = paints.there;
      for (const [from, to] of row.present) pen.fillRect(x(from), top, Math.max(1, x(to) - x(from)), BAR);
    }
  });
  // What went wrong last, above what lies beside it.
  const order = (span) => ORDER.indexOf(KINDS[span[3]]);
  for (const span of (answer.spans || []).slice().sort((a, b) => order(a) - order(b))) {
    const [row, start, end, kind] = span, from = x(start);
    pen.fillStyle = paints[KINDS[kind]];
    const to = x(end === null ? answer.now : end), wide = to - from > 4 ? to - from - 0.75 : to - from;
    pen.fillRect(from, row * ROW + (ROW - BAR) / 2, Math.max(THINNEST, wide), BAR);
  }
  const rows = new Map(answer.rows.map((row, at) => [row.name, at]));
  for (const [name, at, event] of answer.marks) {
    if (rows.has(name)) glyph(pen, paints, eventKind(event), x(at), rows.get(name) * ROW);
  }
  return node;
}

// A column for each part of the window: as high as workers were there, filled as far as they were busy.
function cells(pen, paints, row, top, width) {
  const {there, busy, bad} = row.cells, step = width / there.length;
  const most = Math.max(row.workers, ...there);
  there.forEach((n, at) => {
    // Whole pixels: edges between them would show as seams.
    const from = Math.round(at * step), wide = Math.round((at + 1) * step) - from;
    if (n > 0) {
      const high = (n / most) * BAR;
      pen.fillStyle = paints.there;
      pen.fillRect(from, top + BAR - high, wide, high);
    }
    let ground = top + BAR;
    for (const kind of ORDER) {
      const part = busy[KINDS.indexOf(kind)];
      if (!part || !part[at]) continue;
      const high = (part[at] / most) * BAR;
      pen.fillStyle = paints[kind];
      pen.fillRect(from, ground - high, wide, high);
      ground -= high;
    }
    if (bad[at]) {
      pen.fillStyle = paints.bad;
      pen.fillRect(from, top - TICK, Math.max(THINNEST, wide), TICK);
    }
  });
}

// What happened to a worker: it came (a wedge), left (a cross), was paused (two bars).
function glyph(pen, paints, kind, x, top) {
  if (!kind) return;
  pen.strokeStyle = pen.fillStyle = paints.text;
  pen.lineWidth = 1.5;
  pen.beginPath();
  if (kind === "come") {
    pen.moveTo(x, top);
    pen.lineTo(x + 5, top + 3);
    pen.lineTo(x, top + 6);
    pen.fill();
    return;
  }
  const lines = kind === "go" ? [[-3, 0, 3, 6], [-3, 6, 3, 0]] : [[-1.5, 0, -1.5, 6], [1.5, 0, 1.5, 6]];
  for (const [x1, y1, x2, y2] of lines) {
    pen.moveTo(x + x1, top + y1);
    pen.lineTo(x + x2, top + y2);
  }
  pen.stroke();
}
