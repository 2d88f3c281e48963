// The two plots of the Results page with choices above them: the metric against one parameter, and over two.

import {button, el} from "../common.js";
import {boxes, boxRows} from "./boxes.js";
import {count} from "../format.js";
import {heatmap, heatRows, WAYS} from "./heatmap.js";
import {condition, wantsLog} from "./statistics.js";
import {check, choice, fillBar, jobRows, plot} from "./plot.js";
import {scatter} from "./scatter.js";

const MOST_BOXES = 24;
const names = (columns) => columns.map((column) => [column.name, column.name]);

/** Segments of which one is pressed. `options` are [value, label]. */
function segments(label, options, value, onchange) {
  return el("div", {class: "seg", role: "group", "aria-label": label}, ...options.map(([name, words]) => {
    const made = button(words, () => onchange(name));
    made.setAttribute("aria-pressed", String(name === value));
    return made;
  }));
}

/** The metric against a parameter: points for numbers, boxes for texts. `view.x` is what was chosen; choices
 * are told to `keep`. */
export function metricCard(view, {open, keep}) {
  const logs = new Map(), forms = new Map();  // by the parameter's name
  let data = null, column = null;
  const made = plot({title: "By parameter", name: "metric",
    draw(box, width) {
      if (!column) return;
      if (form() === "boxes") return made.say(boxes(box, width, data, column, {open}));
      const shown = scatter(box, width, data, column, {open, log: logs.get(column.name)});
      const gone = data.ids.length - shown;
      made.say(gone ? count(gone, "job") + " without a place on these axes (no value, or none above 0)." : "");
    },
    rows() {
      if (form() === "boxes") return boxRows(data, column);
      return {heads: ["job", data.metric, column.name], rows: jobRows(data, data.byGoodness, [column]), total: data.ids.length};
    }});

  const form = () => (column.kind === "category" ? "boxes" : (column.distinct.length <= MOST_BOXES && forms.get(column.name)) || "points");

  function tools() {
    const all = [...data.columns, ...data.others];
    column = all.find((one) => one.name === view.x) || (data.weights.length ? data.weights[0].column : all[0]) || null;
    if (!column) return fillBar(made.bar, [], () => []);
    made.name(`${data.metric} by ${column.name}`);
    const groups = [data.columns, data.others].map((columns, at) => ({group: at ? "Other metrics" : "Parameters", options: names(columns)}))
      .filter((group) => group.options.length);
    const either = column.kind === "number" && column.distinct.length <= MOST_BOXES;
    const points = form() === "points", positive = column.distinct[0] > 0;
    const log = points && positive && (logs.has(column.name) ? logs.get(column.name) : wantsLog(column.distinct));
    fillBar(made.bar, [groups, column.name, either, points, log, positive], () => [
      choice("Against", groups, column.name, pick),
      either ? segments("Draw", [["points", "Points"], ["boxes", "Boxes"]], form(), (name) => { forms.set(column.name, name); again(); }) : "",
      points ? check("Log x", log, (next) => { logs.set(column.name, next); again(); }, !positive) : ""]);
  }

  function again() {
    tools();
    made.redraw();
  }

  function pick(name) {
    view.x = name;
    keep({x: name});
    again();
  }

  return {node: made.node, redraw: made.redraw, close: made.close, pick,
    update(next) { data = next; again(); }};
}

/** The metric over two parameters. `view` = {across, down, how}; a click on a cell lists its jobs. */
export function heatCard(view, {list, keep}) {
  let data = null, across = null, down = null;
  const made = plot({title: "Two parameters", name: "heat",
    draw(box, width) { if (across && down) made.say(heatmap(box, width, data, across, down, {how: view.how, open: follow})); },
    rows: () => heatRows(data, across, down, view.how)});

  function follow(binX, binY) {
    const both = [[across, binX], [down, binY]].flatMap(([column, bin]) => (bin.low === bin.high
      ? [condition(column.filterName, "=", bin.low)]
      : [condition(column.filterName, ">=", rounded(bin.low)), condition(column.filterName, "<=", rounded(bin.high))]));
    list(both.join(" "));
  }

  function choose(values) {
    Object.assign(view, values);
    keep(values);
    update(data);
  }

  function update(next) {
    data = next;
    const order = data.weights.map((weight) => weight.column);
    across = order.find((column) => column.name === view.across) || order.find((column) => column.name !== view.down);
    down = order.find((column) => column.name === view.down && column !== across) || order.find((column) => column !== across);
    if (!down) return fillBar(made.bar, [], () => []);
    if (!WAYS[view.how]) view.how = "mean";
    made.name(`${view.how[0].toUpperCase() + view.how.slice(1)} ${data.metric} by ${across.name} and ${down.name}`);
    fillBar(made.bar, [names(order), across.name, down.name, view.how], () => [choice("Across", names(order), across.name,
        (name) => choose(name === down.name ? {across: name, down: across.name} : {across: name})),
      choice("Up", names(order), down.name, (name) => choose(name === across.name ? {down: name, across: down.name} : {down: name})),
      segments("Each cell shows", Object.entries(WAYS), view.how, (how) => choose({how}))]);
    made.redraw();
  }
  return {node: made.node, redraw: made.redraw, close: made.close, update};
}

const rounded = (value) => (typeof value === "number" ? Number(value.toPrecision(6)) : value);
