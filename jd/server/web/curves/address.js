// What the page Curves shows, as its address says it. Pure functions.

import {ALONG} from "../charts/series.js";

const BEST = 20;  // runs that are shown unless somebody says otherwise
/** The most runs that are shown at once. */
export const MOST = 1000;
/** The most metrics that are shown at once. */
export const MOST_METRICS = 8;
const LONGEST = 1500;  // characters of the runs that are not shown
const ENDS = ["from", "to", "low", "high"];
const METRICS = Array.from({length: MOST_METRICS}, (_, at) => "metric" + (at ? at + 1 : ""));

const numberIn = (text) => (text === null || text.trim() === "" ? NaN : Number(text));
const switchIn = (text) => (text === "1" || text === "0" ? text === "1" : undefined);
const idsIn = (text) => [...new Set((text || "").split(",").map(Number)
  .filter((id) => Number.isSafeInteger(id) && id > 0))].slice(0, MOST);

/** What an address asks for: `metrics` names; `ids` a list, empty for those that fit `filter`, of these the
 * best `best`, at most MOST; `x`; `smooth` 0 to below 1; `logX`; `logY` and `less` undefined where nothing is
 * said; `zoom` {from, to, low, high}, NaN for an end that is not chosen, or null; `of` the metric that `low`
 * and `high` are of; `hidden` ids. */
export function viewOf(query) {
  const ids = idsIn(query.get("ids")), filter = (ids.length ? "" : query.get("filter")) || "";
  const best = numberIn(query.get("best"));
  const smooth = numberIn(query.get("smooth")), x = query.get("x");
  const zoom = Object.fromEntries(ENDS.map((name) => [name, numberIn(query.get(name))]));
  return {
    metrics: [...new Set(METRICS.map((name) => query.get(name)).filter(Boolean))], filter, ids,
    best: Number.isSafeInteger(best) && best > 0 && best <= MOST ? best : usual({filter}),
    x: ALONG.some(([name]) => name === x) ? x : "step",
    smooth: smooth > 0 && smooth < 1 ? smooth : 0,
    logX: switchIn(query.get("logx")) || false, logY: switchIn(query.get("logy")),
    less: switchIn(query.get("less")),
    zoom: ENDS.some((name) => Number.isFinite(zoom[name])) ? zoom : null, of: query.get("of") || "",
    hidden: new Set(idsIn(query.get("hide"))),
  };
}

// Ids with commas between them, or nothing where they are too many for an address.
function short(ids) {
  const text = [...ids].sort((a, b) => a - b).join(",");
  return text.length > LONGEST ? "" : text;
}

/** The range of x of a view as a text, "" where there is none. */
export const rangeOf = ({zoom}) => (zoom && (Number.isFinite(zoom.from) || Number.isFinite(zoom.to))
  ? zoom.from + " " + zoom.to : "");

const bit = (on) => (on === undefined ? "" : String(Number(on)));
const usual = ({filter}) => (filter ? MOST : BEST);

/** The values of the address that asks for this, as `setQuery` takes them. */
export function queryOf(view) {
  const zoom = view.zoom || {};
  const end = (name) => (Number.isFinite(zoom[name]) ? Number(zoom[name].toPrecision(12)) : "");
  return {
    ...Object.fromEntries(METRICS.map((name, at) => [name, view.metrics[at]])),
    filter: view.filter, ids: view.ids.join(","),
    best: view.ids.length || view.best === usual(view) ? "" : view.best,
    x: view.x === "step" ? "" : view.x, smooth: view.smooth || "", logx: view.logX ? "1" : "",
    logy: bit(view.logY), less: bit(view.less),
    ...Object.fromEntries(ENDS.map((name) => [name, end(name)])),
    of: view.of === view.metrics[0] || !Number.isFinite(zoom.low) ? "" : view.of,
    hide: short(view.hidden),
  };
}

/** The weight of a place 0..1 of the smoothing control: with equal ways to the right a mean takes in so many
 * times as many reports, up to a thousand. */
export const weightAt = (place) => (place > 0 ? Number((1 - Math.pow(10, -3 * place)).toPrecision(3)) : 0);

/** The place of a weight. */
export const placeOf = (weight) => (weight > 0 ? Math.min(1, -Math.log10(1 - weight) / 3) : 0);
