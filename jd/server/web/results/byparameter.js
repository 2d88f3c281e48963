// The card "By parameter": the metric against one parameter or another metric, with choices above.

import {count} from "../format.js";
import {wantsLog} from "../charts/axis.js";
import {boxes, boxRows} from "../charts/boxes.js";
import {check, choice, fillBar, segments} from "../charts/controls.js";
import {dependencePlot, dependenceRows} from "../charts/dependence.js";
import {jobRows, plot} from "../charts/plot.js";
import {scatter} from "../charts/scatter.js";
import {switchText} from "./view.js";

const MOST_BOXES = 24, FORMS = ["boxes", "dependence"];
const NONE = {heads: [], rows: []};  // the table before the first answer
const names = (columns) => columns.map((column) => [column.name, column.name]);

/** The card: points for numbers, boxes for texts. `view` = {x, draw, xlog} is what was chosen; choices are
 * told to `keep`; `open(job id)` follows a point. `model` tells partial dependences, of parameters alone. */
export function metricCard(view, {open, keep, model}) {
  // What was chosen, by the parameter's name.
  const logs = new Map(view.xlog === undefined ? [] : [[view.x, view.xlog]]);
  const forms = new Map(view.draw ? [[view.x, view.draw]] : []);
  let data = null, column = null, asked = 0;
  let counted = null;  // the boxes of `of` by `column`, which are drawn until the next answer comes
  let dependence = null;  // the partial dependence of `of` on `column`, likewise
  const made = plot({
    title: "By parameter", name: "metric",
    draw(box, width) {
      if (!column) return;
      if (form() === "dependence") {
        if (!dependence) made.say("The forest grows…");
        else if (!dependence.found) {
          made.say("Nothing can be said: a forest foretells nothing of these jobs.");
        } else {
          const log = logs.get(column.name);
          made.say(dependencePlot(box, width, dependence.of, dependence.column, dependence.found, log));
        }
        return;
      }
      if (form() === "boxes") {
        if (counted) made.say(boxes(box, width, counted.of, counted.column, counted.answer, {open}));
        return;
      }
      const shown = scatter(box, width, data, column, {open, log: logs.get(column.name)});
      const gone = data.ids.length - shown;
      const why = " without a place on these axes (no value, or none above 0).";
      made.say(gone ? count(gone, "job") + why : "");
    },
    rows() {
      if (form() === "dependence") {
        return dependence && dependence.found
          ? dependenceRows(dependence.of, dependence.column, dependence.found) : NONE;
      }
      if (form() === "boxes") return counted ? boxRows(counted.column, counted.answer) : NONE;
      return {heads: ["job", data.metric, column.name], rows: jobRows(data, data.byGoodness, [column]),
        total: data.ids.length};
    },
  });

  async function ask() {
    const mine = (asked += 1), of = data, by = column;
    try {
      const answer = await of.counted("boxes", {less: Number(of.less), by: by.filterName});
      if (mine !== asked) return;
      counted = {of, column: by, answer};
      made.redraw();
    } catch (error) { if (mine === asked) made.say(error.message); }
  }

  async function askDependence() {
    const mine = (asked += 1), of = data, by = column, found = await model.dependence(of, by.name);
    if (mine !== asked) return;
    dependence = {of, column: by, found};
    made.redraw();
  }

  const isParameter = () => data.columns.includes(column);

  function form() {
    if (forms.get(column.name) === "dependence" && isParameter()) return "dependence";
    if (column.kind === "category") return "boxes";
    return column.distinct.length <= MOST_BOXES && forms.get(column.name) === "boxes" ? "boxes" : "points";
  }

  function tools() {
    const all = [...data.columns, ...data.others];
    column = all.find((one) => one.name === view.x)
      || (data.weights.length ? data.weights[0].column : all[0]) || null;
    if (!column) return fillBar(made.bar, [], () => []);
    const {name, kind, distinct} = column;
    made.name(`${data.metric} by ${name}`);
    const groups = [
      {group: "Parameters", options: names(data.columns)},
      {group: "Other metrics", options: names(data.others)}].filter((group) => group.options.length);
    const now = form(), positive = distinct[0] > 0;
    const numeric = kind === "number" && now !== "boxes";
    const log = numeric && positive && (logs.has(name) ? logs.get(name) : wantsLog(distinct));
    const ways = [
      ...(kind === "number" ? [["points", "Points"]] : []),
      ...(kind === "category" || distinct.length <= MOST_BOXES ? [["boxes", "Boxes"]] : []),
      ...(isParameter() ? [["dependence", "Partial dependence"]] : [])];
    const draw = (chosen) => { forms.set(name, chosen); pick(name); };
    const scale = (chosen) => { logs.set(name, chosen); pick(name); };
    fillBar(made.bar, [groups, name, ways, now, log, positive], () => [
      choice("Against", groups, name, (chosen) => pick(chosen)),
      ways.length > 1 ? segments("Draw", ways, now, draw) : "",
      numeric ? check("Log x", log, scale, !positive) : ""]);
  }

  function again() {
    tools();
    asked += 1;
    if (dependence && (dependence.of !== data || dependence.column !== column)) dependence = null;
    if (column && form() === "boxes") ask();
    else if (column && form() === "dependence" && !dependence) askDependence();
    else made.redraw();
  }

  /** Show a name, `chosen` being how it is drawn, else as it was last. */
  function pick(name, chosen) {
    if (chosen) forms.set(name, chosen);
    view.x = name;
    const drawn = FORMS.includes(forms.get(name)) ? forms.get(name) : "";
    keep({x: name, draw: drawn, xlog: switchText(logs.get(name))});
    again();
  }

  return {node: made.node, redraw: made.redraw, pick,
    close() { asked += 1; made.close(); },
    update(next) { data = next; again(); }};
}
