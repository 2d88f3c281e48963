// What became of attempts, in words and in paint: each kind has a colour that can be told from the others
// without seeing red or green, and a pattern besides.

import {el} from "../common.js";
import {svg} from "../svg.js";

/** The kinds as the server orders them, with their names for people. */
export const KINDS = ["done", "failed", "lost", "returned", "running"];
export const NAMES = {done: "done", failed: "failed", lost: "lost", returned: "given back",
  running: "running"};

const SIZE = 6;
// What is drawn on the colour, as a path in a square of SIZE: strokes, in the colour of the page.
const STROKES = {done: "", failed: "M-1 7L7 -1M-1 1L1 -1M5 7L7 5", lost: "M1 1h2v2h-2zM4 4h2v2h-2z",
  returned: "M0 1.5H6M0 4.5H6", running: "M3 0V6"};
let drawings = 0;

/** Patterns for a drawing: {defs, fill(kind)}. */
export function patterns() {
  const id = "kind-" + (drawings += 1) + "-";
  const made = KINDS.map((kind) => svg("pattern",
    {id: id + kind, width: SIZE, height: SIZE, patternUnits: "userSpaceOnUse"},
    svg("rect", {class: "kind-" + kind, width: SIZE, height: SIZE}),
    svg("path", {class: "kind-stroke", d: STROKES[kind]})));
  return {defs: svg("defs", {}, ...made), fill: (kind) => `url(#${id}${kind})`};
}

// A mark of a kind for a legend.
function mark(kind) {
  const {defs, fill} = patterns();
  return svg("svg", {class: "kind-mark", width: 14, height: 12, "aria-hidden": "true"}, defs,
    svg("rect", {width: 14, height: 12, rx: 2, fill: fill(kind)}));
}

/** The same as patterns for a canvas, of the colours that `host` gives its elements: {kind: pattern}. */
export function brushes(host, pen) {
  const probe = el("span", {hidden: true});
  host.append(probe);
  const colour = (name) => {
    probe.setAttribute("class", name);
    return getComputedStyle(probe).color;
  };
  const found = {};
  for (const kind of KINDS) {
    const tile = el("canvas", {width: SIZE, height: SIZE}), ink = tile.getContext("2d");
    ink.fillStyle = colour("kind-" + kind);
    ink.fillRect(0, 0, SIZE, SIZE);
    ink.strokeStyle = colour("kind-stroke");
    ink.lineWidth = 1.2;
    ink.stroke(new Path2D(STROKES[kind]));
    found[kind] = pen.createPattern(tile, "repeat");
  }
  found.there = colour("kind-there");
  found.bad = colour("kind-failed");
  found.text = colour("kind-event");
  probe.remove();
  return found;
}

/** The legend of some kinds, each with more words if `words(kind)` gives any. */
export const kindLegend = (kinds, words = () => "") => el("p", {class: "legend"}, ...kinds.map((kind) =>
  el("span", {}, mark(kind), [NAMES[kind], words(kind)].filter(Boolean).join(" "))));
