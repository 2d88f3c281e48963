// Which parameters matter: the share of the metric's variance that each explains alone.

import {el} from "../common.js";
import {number} from "../format.js";
import {importance} from "./variance.js";

/** Columns with their {share, n, groups}, the most important first. Of a metric on a
 * logarithmic scale the logarithm is taken, as otherwise the few largest values would decide. */
export function weigh(data) {
  // The best and worst of all jobs, which are no part of the sample, would make it another one.
  const even = data.values.map((value, at) => (data.even[at] ? value : NaN));
  const metric = data.log ? even.map(Math.log10) : even;
  const found = data.columns.map((column) => ({column, ...importance(column, metric)}));
  return found.sort((a, b) => (b.share === null ? -1 : b.share) - (a.share === null ? -1 : a.share));
}

const ENOUGH = 40;  // jobs from which the shares say something

const percent = (share) => (share > 0 && share < 0.01 ? "< 1 %" : Math.round(share * 100) + " %");

/** The list of parameters as a card; `pick(name)` is called for the one that somebody wants to look at. */
export function importanceCard(data, weights, pick) {
  const jobs = Math.max(0, ...weights.map((weight) => weight.n));
  const of = data.sampled ? ` of ${number(data.total)}, a sample` : "";
  const box = {class: "scroll shares", tabindex: 0, role: "region", "aria-label": "Shares by parameter"};
  const few = jobs < ENOUGH ? " With so few jobs most of it is chance." : "";
  return el("section", {class: "card plot plot-importance", "aria-label": "Parameter importance"},
    el("div", {class: "card-head"},
      el("h2", {}, "Parameter importance"), el("span", {class: "plot-n"}, "n = " + number(jobs) + of)),
    weights.length ? el("div", box, shares(weights, pick))
      : el("p", {class: "plot-note"}, "No parameter varies among these jobs."),
    el("p", {class: "plot-note"}, `How much of the variance of ${data.log ? "log " : ""}${data.metric} each `
      + "parameter explains alone (η², less what chance would explain). It misses what parameters do only "
      + "together, and unevenly tried values mislead it." + few));
}

function shares(weights, pick) {
  const row = ({column, share, n, groups}) => {
    const bar = el("span", {class: "share"}, el("span", {}));
    bar.firstChild.style.setProperty("width", (share || 0) * 100 + "%");
    const say = share === null ? "values seldom repeat: cannot tell"
      : `${number(n)} jobs in ${groups} groups`;
    const name = el("button", {type: "button", class: "plain", title: "Plot " + column.name,
      onclick: () => pick(column.name)}, column.name);
    return el("tr", {title: say}, el("th", {scope: "row"}, name), el("td", {class: "bar-cell"}, bar),
      el("td", {class: "num"}, share === null ? "–" : percent(share)));
  };
  const heads = ["Parameter", "Bar", "Share"].map((head) => el("th", {scope: "col"}, head));
  return el("table", {},
    el("caption", {class: "sr"}, "Share of the variance explained by each parameter"),
    el("colgroup", {}, el("col", {class: "names"}), el("col", {}), el("col", {class: "figures"})),
    el("thead", {class: "sr"}, el("tr", {}, ...heads)),
    el("tbody", {}, ...weights.map(row)));
}
