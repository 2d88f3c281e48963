// The best jobs of a metric.

import {el} from "../common.js";
import {cut, metric as figure, number, value as whole} from "../format.js";
import {text} from "../charts/drawing.js";
import {jobLink} from "../charts/plot.js";
import {ranking} from "../charts/statistics.js";

const TOP = 20, MOST_COLUMNS = 30;

// The best jobs, which are always among those that are loaded: {id, value, cells}.
const bestOf = (data, columns) => ranking(data.values, data.less).slice(0, TOP).map((at) => ({
  id: data.ids[at], value: data.values[at], cells: columns.map((column) => column.raw[at])}));

/** Columns to show: those of the most important parameters first. */
export const shownColumns = (weights) => weights.slice(0, MOST_COLUMNS).map((weight) => weight.column);

/** The card. */
export function leaderboardCard(data, columns) {
  const best = bestOf(data, columns);
  const cell = (value, at) => {
    const shown = cut(text(value), 28), words = value == null ? shown : whole(value);
    return el("td", {class: kind(columns[at]), title: words === shown ? false : words}, shown);
  };
  const row = (job, index) => el("tr", {class: index ? false : "first"},
    el("td", {class: "rank"}, String(index + 1)), el("td", {}, jobLink(job.id)),
    el("td", {class: "num value"}, figure(job.value)), ...job.cells.map(cell));
  const head = ([words, name]) => el("th", {scope: "col", class: name, title: words}, cut(words, 20));
  const heads = [["#", "rank"], ["Job"], [data.metric, "num value"],
    ...columns.map((column) => [column.name, kind(column)])];
  const end = `${data.less ? "lowest" : "highest"} ${number(best.length)} of ${number(data.total)}`;
  return el("section", {class: "card plot plot-leaders", "aria-label": "Leaderboard"},
    el("div", {class: "card-head"},
      el("h2", {}, "Leaderboard"),
      el("span", {class: "plot-n"}, end)),
    el("div", {class: "scroll sheet", tabindex: 0, role: "region", "aria-label": "The best jobs"},
      el("table", {class: "data"},
        el("thead", {}, el("tr", {}, ...heads.map(head))), el("tbody", {}, ...best.map(row)))));
}

const kind = (column) => (column.kind === "number" ? "num" : false);
