// The card of a plot, and the table that may stand in the plot's place.

import {button, el} from "../common.js";
import {number} from "../format.js";
import {printing} from "../print.js";
import {keeping} from "./controls.js";
import {text} from "./drawing.js";

const MOST_ROWS = 1000;

// A table of at most 1,000 rows, with a note when there are more; a row is a list of cells, the first may
// be a node. `total` counts all rows.
function sheet(caption, heads, rows, total) {
  const more = total > MOST_ROWS;
  const part = `: the first ${number(MOST_ROWS)} of ${number(total)}. The CSV has all.`;
  const said = more ? caption + part : caption;
  const numeric = heads.map((_, at) => rows.length > 0 && typeof rows[0][at] === "number");
  const head = (words, at) => el("th", {scope: "col", class: numeric[at] ? "num" : false}, words);
  const cell = (content) => (content instanceof Node ? el("td", {}, content)
    : el("td", {class: typeof content === "number" ? "num" : false}, text(content)));
  return el("div", {class: "scroll sheet", tabindex: 0, role: "region", "aria-label": caption},
    el("table", {class: "data"},
      el("caption", {class: more ? false : "sr"}, said),
      el("thead", {}, el("tr", {}, ...heads.map(head))),
      el("tbody", {}, ...rows.slice(0, MOST_ROWS).map((row) => el("tr", {}, ...row.map(cell))))));
}

export const jobLink = (id) => el("a", {href: "/jobs/" + id}, "#" + id);

/** Rows of jobs for a table, the best first: id, metric, the given columns. */
export function jobRows(data, places, columns) {
  return places.slice(0, MOST_ROWS).map((at) =>
    [jobLink(data.ids[at]), data.values[at], ...columns.map((column) => column.values[at])]);
}

/** A plot in its card. `draw(box, width)` fills an empty box; `rows()` gives {heads, rows, total} for the
 * table that may stand in its place. It is drawn anew when the width changes. */
export function plot({title, name, tools, draw, rows}) {
  const box = el("div", {class: "plot-box"}), note = el("p", {class: "plot-note"});
  const toggle = button("Show as table", () => { tabular = !tabular; redraw(); }, "quiet");
  const heading = el("h2", {}, title), bar = el("div", {class: "plot-tools"}, ...(tools || []));
  const node = el("section", {class: "card plot plot-" + name, "aria-label": title},
    el("div", {class: "card-head"}, heading, bar, toggle), note, box);
  let tabular = false, width = 0, frame = 0;

  function redraw() {
    cancelAnimationFrame(frame);
    // The browser does not wait for a frame before it prints.
    if (printing()) fill(); else frame = requestAnimationFrame(fill);
  }

  function fill() {
    // A table has other margins than a plot: measured before, a plot would be drawn as wide as the table was,
    // and once more soon after.
    node.classList.toggle("tabular", tabular);
    width = box.clientWidth;
    if (!width) return;
    toggle.textContent = tabular ? "Show as plot" : "Show as table";
    keeping(box, () => {
      box.replaceChildren();
      if (!tabular) {
        draw(box, width);
        return;
      }
      const {heads, rows: lines, total} = rows();
      box.append(sheet(heading.textContent, heads, lines, total === undefined ? lines.length : total));
    });
  }
  const watch = new ResizeObserver(() => { if (!tabular && box.clientWidth !== width) redraw(); });
  const forPrint = () => { if (!tabular && width) redraw(); };
  watch.observe(box);
  addEventListener("beforeprint", forPrint);
  addEventListener("afterprint", forPrint);
  return {
    node, bar, redraw,
    say: (words) => { note.textContent = words; },
    name: (words) => { heading.textContent = words; node.setAttribute("aria-label", words); },
    close() {
      cancelAnimationFrame(frame);
      watch.disconnect();
      removeEventListener("beforeprint", forPrint);
      removeEventListener("afterprint", forPrint);
    },
  };
}
