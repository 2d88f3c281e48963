// Which parameters matter: the share of the metric's variance that each explains alone, and with others.

import {el} from "../../common.js";
import {breakable, count, cut, number} from "../../format.js";
import {keeping} from "../../charts/controls.js";
import {ENOUGH} from "./matter.js";
import {constant, importance} from "./variance.js";

/** The numbers that are explained. Of a metric on a logarithmic scale the logarithm is taken, as otherwise
 * the few largest values would decide; NaN for the best and worst of all jobs where these are no part of the
 * sample: they would make it another one. */
export function metricOf(data) {
  const even = data.values.map((value, at) => (data.even[at] ? value : NaN));
  return data.log ? even.map(Math.log10) : even;
}

/** Columns with their {share, n, groups}, the most important first. */
export function weigh(data) {
  const metric = metricOf(data);
  const found = data.columns.map((column) => ({column, ...importance(column, metric)}));
  return found.sort((a, b) => (b.share === null ? -1 : b.share) - (a.share === null ? -1 : a.share));
}

const UNSURE = 40;  // jobs from which the shares say something
const MOST_PAIRS = 3;

const percent = (share) => (share > 0 && share < 0.01 ? "< 1 %" : Math.round(share * 100) + " %");

/** The card: {node, update(data)}. `model` is asked for what parameters do with others; `pick(name)` is
 * called for the one that somebody wants to look at. */
export function importanceCard(model, pick) {
  const size = el("span", {class: "plot-n"}), list = el("div", {class: "shares scroll", tabindex: 0,
    role: "region", "aria-label": "Shares by parameter"});
  const together = el("ul", {class: "plot-note pairs"}), note = el("p", {class: "plot-note"});
  const node = el("section", {class: "card plot plot-importance", "aria-label": "Parameter importance"},
    el("div", {class: "card-head"}, el("h2", {}, "Parameter importance"), size), list, together, note);
  let shown = null;

  function draw(data, told) {
    const jobs = Math.max(0, ...data.weights.map(({n}) => n)), few = jobs < ENOUGH;
    const of = data.sampled ? ` of ${number(data.total)}, a sample` : "";
    size.textContent = "n = " + number(jobs) + of;
    const shares = told && told.shares
      ? new Map(data.columns.map(({name}, at) => [name, told.shares[at]])) : null;
    const lines = data.weights.map((weight) => ({...weight, share: few ? null : weight.share,
      total: shares && !few ? shares.get(weight.column.name) : null}));
    lines.sort((a, b) => (b.total ?? -1) - (a.total ?? -1));
    keeping(list, () => list.replaceChildren(lines.length ? table(lines, pick, told === undefined)
      : el("p", {class: "hint"}, "No parameter varies among these jobs.")));
    together.replaceChildren(...(told && !few ? pairLines(told) : []));
    const same = constant(metricOf(data));
    note.textContent = few ? `${count(jobs, "job is", "jobs are")} too few: nothing can be said.`
      : same ? `${data.metric} is the same in all these jobs: there is nothing to explain.`
        : noteOf(data, told, jobs);
  }

  return {node, async update(data) {
    const again = shown && shown.answer === data.answer && shown.log === data.log;
    shown = data;
    if (!again) draw(data, undefined);
    const told = await model.learn(data);
    if (shown === data) draw(data, told);
  }};
}

function noteOf(data, told, jobs) {
  const metric = (data.log ? "log " : "") + data.metric;
  const chance = jobs < UNSURE ? " With so few jobs much of it is chance." : "";
  const alone = `How much of the variance of ${metric} each parameter explains alone (ε², what chance `
    + "would explain taken off)";
  if (told === undefined) return alone + ".";
  if (!told || !told.shares) {
    return `${alone}. A forest foretells nothing of jobs that it has not seen: of what parameters do `
      + "together nothing can be said." + chance;
  }
  return `${alone}, and with others: its total effect in a forest that foretells ${percent(told.explained)} `
    + "of the variance of jobs that it has not seen. What parameters do together counts for each of them."
    + chance;
}

function pairLines({together, alike}) {
  return [
    ...together.slice(0, MOST_PAIRS).map(([one, other, share]) =>
      el("li", {}, `${cut(one, 40)} × ${cut(other, 40)}: `, el("b", {}, percent(share)), " only together")),
    ...alike.slice(0, MOST_PAIRS).map(([one, other]) =>
      el("li", {}, `${cut(one, 40)} and ${cut(other, 40)} hardly differ: they share what either explains`))];
}

function table(lines, pick, isWaiting) {
  const bar = (share, kind) => {
    const made = el("span", {class: "share " + kind}, el("span", {}));
    made.firstChild.style.setProperty("width", (share || 0) * 100 + "%");
    return made;
  };
  const row = ({column, share, total, n, groups, same}) => {
    const say = same ? "the metric does not vary among the jobs that have it"
      : share === null ? "alone: cannot tell" : `${number(n)} jobs in ${groups} groups`;
    const name = el("button", {type: "button", class: "plain", title: "Plot " + column.name,
      onclick: () => pick(column.name)}, ...breakable(column.name));
    const shown = total === null ? (isWaiting ? "…" : "–") : percent(total);
    return el("tr", {title: say}, el("th", {scope: "row"}, name),
      el("td", {class: "bar-cell"}, bar(total, "with"), bar(share, "alone")),
      el("td", {class: "num"}, share === null ? "–" : percent(share)), el("td", {class: "num"}, shown));
  };
  const heads = [["Parameter", "sr"], ["Bars", "sr"], ["alone"], ["with others"]].map(([words, kind]) =>
    el("th", {scope: "col", class: kind ? false : "num"}, kind ? el("span", {class: kind}, words) : words));
  return el("table", {},
    el("caption", {class: "sr"}, "Share of the variance by parameter: alone, and with others"),
    el("colgroup", {}, el("col", {class: "names"}), el("col", {}), el("col", {class: "figures"}),
      el("col", {class: "figures"})),
    el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...lines.map(row)));
}
