// The controls of the page Curves.

import {el} from "../common.js";
import {check, choice, fillBar, segments} from "../charts/controls.js";
import {ALONG} from "../charts/series.js";
import {MOST, MOST_METRICS, placeOf, weightAt} from "./address.js";

const BESTS = [10, 20, 50, 100, 200];

/** {node, fill(facts)}: which metrics and runs are shown. `change(values)` is called with what somebody chose
 * of a view (address.js). */
export function whichControls(change) {
  const node = el("div", {class: "results-controls"});
  const fill = ({names, view}) => fillBar(node, [names, view.metrics, view.ids.length, view.best, view.less],
    () => {
      const [first, ...others] = view.metrics, rest = names.filter((name) => !view.metrics.includes(name));
      const pick = (name) => change({metrics: [name, ...others.filter((other) => other !== name)]});
      const add = (name) => name && change({metrics: [...view.metrics, name]});
      const more = [["", "another metric"], ...rest.map((name) => [name, name])];
      const chosen = view.ids.length ? [["ids", `${view.ids.length} chosen`]] : [];
      const bests = [...new Set([...BESTS, view.best])].filter((n) => n < MOST).sort((a, b) => a - b);
      const runs = [...chosen, ...bests.map((n) => [String(n), `Best ${n}`]),
        [String(MOST), `All, up to ${MOST.toLocaleString("en")}`]];
      const these = (value) => value !== "ids" && change({ids: [], best: Number(value), hidden: new Set()});
      return [
        choice("Metric", names.map((name) => [name, name]), first, pick),
        rest.length && view.metrics.length < MOST_METRICS ? choice("and", more, "", add) : "",
        choice("Jobs", runs, view.ids.length ? "ids" : String(view.best), these),
        segments("Which values are better", [[true, "Lower is better"], [false, "Higher is better"]],
          view.less, (less) => change({less}))];
    });
  return {node, fill};
}

/** {node, fill(view, logY)}: how the curves are drawn; `settled` tells `change` that a drag has ended. */
export function howControls(change) {
  const bar = el("div", {class: "results-controls"}), told = el("output", {class: "curves-weight"});
  const slide = el("input", {type: "range", min: 0, max: 1, step: 0.01, "aria-label": "Smoothing",
    oninput: () => { say(chosen()); change({smooth: chosen()}, true); },
    onchange: () => change({smooth: chosen()})});
  const chosen = () => weightAt(slide.valueAsNumber);
  const say = (weight) => { told.textContent = weight || "off"; };
  const smoothing = el("label", {class: "choice curves-smooth",
    title: "An exponential moving average: what lies one report further back weighs so many times as much"},
  el("span", {}, "Smoothing"), slide, told);
  const fill = (view, logY) => {
    if (document.activeElement !== slide) slide.value = placeOf(view.smooth);
    say(view.smooth);
    fillBar(bar, [view.x, view.logX, logY], () => [
      segments("Along", ALONG, view.x, (x) => change({x, zoom: null})),
      el("span", {class: "curves-logs"},
        check("Log x", view.logX, (on) => change({logX: on, zoom: null}), view.x === "time"),
        check("Log y", logY, (on) => change({logY: on})))]);
  };
  return {node: el("div", {class: "toolbar curves-how-drawn"}, bar, smoothing), fill};
}
