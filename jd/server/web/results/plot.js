// What the plots of the Results page share: the frame with its table, canvases, legends, what a mark tells.

import {button, el} from "../common.js";
import {css, shades} from "./colours.js";
import {metric as figure, number} from "../format.js";
import {svg, tooltip} from "../svg.js";

const MOST_ROWS = 1000, ASIDE = 16, NARROW = 440, WIDEST = 16000;
/** From so many marks on a canvas draws them: as elements they would be slow. */
export const MANY = 2000;

/** A value in a plot or table. */
export const text = (value) => (value === null || value === undefined ? "–" : figure(value));

/** Cut the middle out of a text that must fit a place, as names and paths often differ at their ends. */
export function cut(words, most) {
  if (words.length <= most) return words;
  const end = Math.floor((most - 1) * 0.4);
  return words.slice(0, most - 1 - end) + "…" + words.slice(words.length - end);
}

const ruler = document.createElement("canvas").getContext("2d");

/** The width in pixels of a text as axes have it. */
export function widthOf(words) {
  ruler.font = "12px system-ui, sans-serif";
  return ruler.measureText(words).width;
}

/** A labelled choice. `options` are [value, label] or {group, options}. */
export function choice(label, options, value, onchange) {
  const one = ([name, words]) => el("option", {value: name, selected: name === value}, cut(words, 60));
  const select = el("select", {onchange: () => onchange(select.value)}, ...options.map((option) =>
    (option.group ? el("optgroup", {label: option.group}, ...option.options.map(one)) : one(option))));
  return el("label", {class: "choice"}, el("span", {}, label), select);
}

/** A labelled switch. */
export const check = (label, checked, onchange, disabled) => el("label", {class: "check"},
  el("input", {type: "checkbox", checked, disabled, onchange: (event) => onchange(event.target.checked)}), label);

const CONTROLS = "a, button, input, select, [tabindex]";

/** Change what is in a node: the control that has the focus keeps it, by its place, and boxes that scroll
 * stay where they are. */
export function keeping(node, change) {
  const at = [...node.querySelectorAll(CONTROLS)].indexOf(document.activeElement);
  const scrolls = [...node.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  const next = change() || node;
  if (at >= 0) { const again = next.querySelectorAll(CONTROLS)[at]; if (again) again.focus({preventScroll: true}); }
  [...next.querySelectorAll(".scroll")].forEach((box, index) => { if (scrolls[index]) [box.scrollLeft, box.scrollTop] = scrolls[index]; });
}

/** Fill a bar with controls, made only when `facts` are others than before: an open choice stays open while
 * results arrive. */
export function fillBar(bar, facts, make) {
  const key = JSON.stringify(facts);
  if (bar.facts === key) return;
  bar.facts = key;
  keeping(bar, () => bar.replaceChildren(...make()));
}

/** A table of at most 1,000 rows, with a note when there are more; a row is a list of cells, the first may
 * be a node. `total` counts all rows. */
export function sheet(caption, heads, rows, total) {
  const more = total > MOST_ROWS;
  const numeric = heads.map((head, at) => rows.length > 0 && typeof rows[0][at] === "number");
  const cell = (content) => (content instanceof Node ? el("td", {}, content)
    : el("td", {class: typeof content === "number" ? "num" : false}, text(content)));
  return el("div", {class: "scroll sheet", tabindex: 0, role: "region", "aria-label": caption},
    el("table", {class: "data"}, el("caption", {class: more ? false : "sr"}, more
      ? `${caption}: the first ${number(MOST_ROWS)} of ${number(total)}. The CSV has all.` : caption),
    el("thead", {}, el("tr", {}, ...heads.map((head, at) => el("th", {scope: "col", class: numeric[at] ? "num" : false}, head)))),
    el("tbody", {}, ...rows.slice(0, MOST_ROWS).map((row) => el("tr", {}, ...row.map(cell))))));
}

export const jobLink = (id) => el("a", {href: "/jobs/" + id}, "#" + id);

/** Rows of jobs for a table, the best first: id, metric, the given columns. */
export function jobRows(data, places, columns) {
  return places.slice(0, MOST_ROWS).map((at) =>
    [jobLink(data.ids[at]), data.values[at], ...columns.map((column) => column.values[at])]);
}

/** A plot in its card. `draw(box, width)` fills an empty box; `rows()` gives {heads, rows, total} for the
 * table that may stand in its place. Draws anew when the width changes. */
export function plot({title, name, tools, draw, rows}) {
  const box = el("div", {class: "plot-box"}), note = el("p", {class: "plot-note"});
  const toggle = button("Show as table", () => { tabular = !tabular; redraw(); }, "quiet");
  const heading = el("h2", {}, title), bar = el("div", {class: "plot-tools"}, ...(tools || []));
  const node = el("section", {class: "card plot plot-" + name, "aria-label": title},
    el("div", {class: "card-head"}, heading, bar, toggle), note, box);
  let tabular = false, width = 0, frame = 0;

  function redraw() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      width = box.clientWidth;
      if (!width) return;
      toggle.textContent = tabular ? "Show as plot" : "Show as table";
      node.classList.toggle("tabular", tabular);
      keeping(box, () => {
        box.replaceChildren();
        if (!tabular) { draw(box, width); return; }
        const {heads, rows: lines, total} = rows();
        box.append(sheet(heading.textContent, heads, lines, total === undefined ? lines.length : total));
      });
    });
  }
  const watch = new ResizeObserver(() => { if (!tabular && box.clientWidth !== width) redraw(); });
  watch.observe(box);
  return {node, bar, redraw,
    say: (words) => { note.textContent = words; },
    name: (words) => { heading.textContent = words; node.setAttribute("aria-label", words); },
    close() { cancelAnimationFrame(frame); watch.disconnect(); }};
}

/** A canvas as sharp as the screen, over the place of a drawing of this size. */
export function canvas(width, height) {
  const ratio = Math.min(2, devicePixelRatio || 1, WIDEST / width);
  const node = el("canvas", {width: Math.round(width * ratio), height: Math.round(height * ratio), "aria-hidden": "true"});
  node.style.setProperty("width", width + "px");
  node.style.setProperty("height", height + "px");
  const pen = node.getContext("2d");
  pen.scale(ratio, ratio);
  return {node, pen};
}

/** What a job shows when pointed at; `first` are the columns that the plot is about. */
export function jobTip(data, at, first) {
  const columns = [...new Set([...first, ...data.columns])].slice(0, 9);
  const line = (name, value) => [el("dt", {}, cut(name, 32)), el("dd", {}, cut(text(value), 40))];
  return el("div", {}, el("b", {}, "Job #" + data.ids[at]),
    el("dl", {}, ...line(data.metric, data.values[at]),
      ...columns.flatMap((column) => line(column.name, column.values[at]))));
}

/** Lines of a tooltip that is not about one job. */
export const tipLines = (head, pairs) => el("div", {}, el("b", {}, head),
  el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));

/** Make a surface tell of the mark that is nearest and open it on a click, by pointer, finger and keys.
 * `near(x, y)` gives a mark or -1, `place(mark, pointer)` its [x, y] (`pointer`: where that is, if it is there), `tell(mark)` a node, `open(mark)` follows it;
 * `order` lists marks as the arrow keys go; `lit(mark)` is called at each change, with -1 for none; `ring`
 * is put around the mark. A finger's first touch tells, the second opens. Gives what hides the tip. */
export function pointing(surface, host, {near, place, tell, open, order, ring, lit}) {
  const tip = tooltip(host), spoken = el("p", {class: "sr", "aria-live": "polite"});
  host.append(spoken);
  let now = -1;
  const leave = () => {
    now = -1;
    tip.hide();
    if (ring) ring.setAttribute("visibility", "hidden");
    if (lit) lit(-1);
    surface.classList.remove("on");
  };
  const point = (mark, pointer) => {
    if (mark === now) return;
    if (mark < 0) return leave();
    now = mark;
    const [x, y] = place(mark, pointer);
    if (lit) lit(mark);
    if (ring) { ring.setAttribute("cx", x); ring.setAttribute("cy", y); ring.setAttribute("visibility", "visible"); }
    tip.show(x, y, tell(mark));
    const across = x < host.clientWidth / 2 ? x + ASIDE : x - ASIDE - tip.node.offsetWidth;
    const down = Math.max(0, Math.min(y - tip.node.offsetHeight / 2, host.clientHeight - tip.node.offsetHeight));
    if (host.clientWidth > NARROW) {  // beside the mark it hides less; a phone has no room there
      tip.node.style.setProperty("left", across + "px");
      tip.node.style.setProperty("top", down + "px");
    }
    surface.classList.add("on");
  };
  const at = (event) => {
    const edge = surface.getBoundingClientRect();
    const pointer = [event.clientX - edge.left, event.clientY - edge.top];
    return [near(...pointer), pointer];
  };
  surface.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") point(...at(event)); });
  surface.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") leave(); });
  surface.addEventListener("click", (event) => {
    const [mark, pointer] = at(event), told = mark === now;
    point(mark, pointer);
    if (mark >= 0 && (told || event.pointerType !== "touch")) open(mark);
  });
  surface.addEventListener("blur", leave);
  surface.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (step) {
      const marks = order(), from = marks.indexOf(now);
      if (!marks.length) return;
      point(marks[from < 0 ? 0 : (from + step + marks.length) % marks.length]);
      spoken.textContent = [...tip.node.querySelectorAll("b, dt, dd")].map((part) => part.textContent).join(" ");
    } else if (event.key === "Enter" && now >= 0) open(now);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
  });
  return leave;
}

let ramps = 0;

/** The colour scale in words and colours, from worse to better: of `name`, from `low` to `high`, beyond which
 * lie values when `beyond` says so. */
export function legend({name, less, low, high, beyond}, dark) {
  const ends = [(beyond ? "≤ " : "") + text(low), (beyond ? "≥ " : "") + text(high)];
  const id = "ramp-" + (ramps += 1), [worst, best] = less ? ends.reverse() : ends;
  const all = shades(dark), stops = [0, 8, 16, 24, 32, 40, 48, 56, 63].map((at) =>
    svg("stop", {offset: at / 63, "stop-color": css(all[at])}));
  return el("div", {class: "legend"}, el("span", {}, cut(name, 36)), el("span", {}, "worse " + worst),
    svg("svg", {width: 96, height: 10, viewBox: "0 0 96 10", preserveAspectRatio: "none", "aria-hidden": "true"},
      svg("defs", {}, svg("linearGradient", {id}, ...stops)),
      svg("rect", {width: 96, height: 10, rx: 3, fill: `url(#${id})`})),
    el("span", {}, best + " better"));
}

/** Axis and grid below a drawing: labels that would touch are left out. */
export function below(axis, {left, width, top, height, title, scaleNote}) {
  const marks = [];
  let last = -Infinity;
  for (const tick of axis.ticks(axis.kind === "category" ? 200 : Math.max(4, Math.floor(width / 70)))) {
    const words = cut(text(tick), 14), x = left + axis.at(tick) * width, half = widthOf(words) / 2 + 6;
    marks.push(svg("line", {class: "grid", x1: x, x2: x, y1: top, y2: top + height}));
    if (x - half < last) continue;
    last = x + half;
    marks.push(svg("text", {class: "tick", x, y: top + height + 17, "text-anchor": "middle"}, words));
  }
  return svg("g", {class: "axis"}, ...marks,
    svg("text", {class: "title", x: left + width / 2, y: top + height + 37, "text-anchor": "middle"},
      cut(title, Math.max(12, Math.floor(width / 8))) + (scaleNote || "")));
}

/** Axis and grid at the left of a drawing. */
export function beside(axis, {left, width, top, height, title}) {
  const ticks = axis.ticks(Math.max(2, Math.floor(height / 44)));
  return svg("g", {class: "axis"}, ...ticks.flatMap((tick) => {
    const y = top + (1 - axis.at(tick)) * height;
    return [svg("line", {class: "grid", x1: left, x2: left + width, y1: y, y2: y}),
      svg("text", {class: "tick", x: left - 8, y: y + 4, "text-anchor": "end"}, text(tick))];
  }), svg("text", {class: "title", x: left, y: 11, "text-anchor": "start"}, title));
}

/** The room that the labels of an upright axis need. */
export const roomFor = (axis, height) =>
  Math.ceil(Math.max(24, ...axis.ticks(Math.max(2, Math.floor(height / 44))).map((tick) => widthOf(text(tick)))) + 14);
