// What is told of curves in words: beside a pointer, to who hears a plot, and in the table behind it.

import {el} from "../common.js";
import {count, cut, duration, jobState, moment} from "../format.js";
import {text} from "./drawing.js";
import {jobLink} from "./plot.js";
import {tipLines} from "./pointing.js";
import {ALONG} from "./series.js";

const MOST_FACTS = 7;  // parameters that are told of a curve

/** What there is to have along, by its name in views. */
export const WORDS = Object.fromEntries(ALONG);

/** What a plot is about and how its keys work, of a view as curvesPlot has it. */
export const describe = ({metric, curves, x}) => {
  const shown = curves.filter((curve) => !curve.hidden).length;
  return `${metric} of ${count(shown, "curve")} along: ${WORDS[x].toLowerCase()}. Arrow keys up and down go `
    + "from curve to curve, left and right along one; Enter opens it; plus and minus zoom, Escape leads "
    + "back.";
};

// Where a report stands, in words.
const placeWords = (x, at) => (x === "step" ? text(at) : x === "time" ? moment(at) : duration(at));

/** What is told of a report of a curve, as it is drawn: {curve, raw, ys}. */
export function tell({metric, x, smooth}, {curve, raw, ys}, report) {
  const facts = curve.facts ? curve.facts() : [];
  const more = facts.length - MOST_FACTS;
  return tipLines(curve.label + (curve.status ? " · " + jobState(curve.status, curve.retry_at) : ""), [
    [cut(metric, 32), text(raw.ys[report])],
    ...(smooth ? [["smoothed", text(ys[report])]] : []),
    [WORDS[x].toLowerCase(), placeWords(x, raw.xs[report])],
    ...facts.slice(0, MOST_FACTS).map(([name, value]) => [cut(name, 32), cut(text(value), 40)]),
    ...(more > 0 ? [["", `and ${more} more`]] : [])]);
}

/** The table behind: of one curve its reports, of several a row for each. */
export function tableOf({metric, curves, x}) {
  const shown = curves.filter((curve) => !curve.hidden);
  if (shown.length === 1) {
    const [curve] = shown, reports = curve.value.map((value, at) =>
      [curve.step[at], curve.time[at], value === null ? "NaN" : value]);
    return {heads: ["step", "seconds", metric], rows: reports};
  }
  const link = (curve) => (curve.id ? jobLink(curve.id) : el("span", {}, curve.label));
  return {heads: ["curve", "status", "reports", "last " + metric, "least", "most"],
    rows: shown.map((curve) => [link(curve), jobState(curve.status, curve.retry_at), curve.n,
      curve.last, curve.min, curve.max])};
}
