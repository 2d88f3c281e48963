// The card "Two parameters": the metric over two of them, with choices above.

import {el, touched} from "../common.js";
import {within} from "./binfilter.js";
import {axisOf} from "../charts/axis.js";
import {choice, fillBar, segments} from "../charts/controls.js";
import {heatmap, heatRows, WAYS} from "../charts/heatmap.js";
import {plot} from "../charts/plot.js";

const CLICKS = [["list", "shows its jobs"], ["around", "makes new jobs there"]];

/** The card. `view` = {across, up, how} is what was chosen; choices are told to `keep`; a click on a cell
 * gives `list` the filter of its jobs, or calls `around(data, best job, sides)` as aroundCell has it. */
export function heatCard(view, {list, keep, around}) {
  let data = null, across = null, up = null, asked = 0;
  let shown = null;  // what was asked and the answer, which is drawn until the next one comes
  const made = plot({
    title: "Two parameters", name: "heat",
    draw(box, width) {
      if (!shown) return;
      const {of, columns, answer} = shown;
      made.say(heatmap(box, width, of, ...columns, answer, {how: view.how, open: follow}));
    },
    rows: () => (shown ? heatRows(shown.of, ...shown.columns, shown.answer, view.how)
      : {heads: [], rows: []}),
  });

  let click = "list";
  const clicks = el("div", {class: "plot-clicks"});
  made.node.append(clicks);

  function chooseClick(chosen) {
    click = chosen;
    // The first tap tells what is in the cell.
    const words = touched() ? "A second tap on a cell" : "A click on a cell";
    fillBar(clicks, [click], () => [el("span", {}, words), segments(words, CLICKS, click, chooseClick)]);
  }
  chooseClick(click);

  function follow(binX, binY, best) {
    const [columnX, columnY] = shown.columns, {across: axisX, down: axisY} = shown.answer;
    if (click === "around") {
      return around(shown.of, best, [{column: columnX, bin: binX, single: axisX.single},
        {column: columnY, bin: binY, single: axisY.single}]);
    }
    return list([...within(columnX, binX), ...within(columnY, binY)].join(" "));
  }

  async function ask() {
    const mine = (asked += 1), of = data, columns = [across, up];
    const log = (column) => Number(Boolean(axisOf(column).log));
    try {
      const answer = await of.counted("cells", {less: Number(of.less), across: across.filterName,
        down: up.filterName, across_log: log(across), down_log: log(up)});
      if (mine !== asked) return;
      shown = {of, columns, answer};
      made.redraw();
    } catch (error) { if (mine === asked) made.say(error.message); }
  }

  function choose(values) {
    Object.assign(view, values);
    // "down" is what links of before have for "up".
    keep({...(values.how === "mean" ? {how: ""} : values), ...("up" in values && {down: ""})});
    update(data);
  }

  function update(next) {
    data = next;
    const order = data.weights.map((weight) => weight.column);
    across = order.find((column) => column.name === view.across)
      || order.find((column) => column.name !== view.up);
    up = order.find((column) => column.name === view.up && column !== across)
      || order.find((column) => column !== across);
    if (!up) {
      shown = null;
      return fillBar(made.bar, [], () => []);
    }
    if (!Object.hasOwn(WAYS, view.how)) view.how = "mean";
    const how = view.how[0].toUpperCase() + view.how.slice(1);
    made.name(`${how} ${data.metric} by ${across.name} and ${up.name}`);
    const names = order.map((column) => [column.name, column.name]);
    // Who chooses the parameter of the other axis exchanges the two.
    const chooseAcross = (name) =>
      choose(name === up.name ? {across: name, up: across.name} : {across: name});
    const chooseUp = (name) =>
      choose(name === across.name ? {up: name, across: up.name} : {up: name});
    fillBar(made.bar, [names, across.name, up.name, view.how], () => [
      choice("Across", names, across.name, chooseAcross),
      choice("Up", names, up.name, chooseUp),
      segments("Each cell shows", Object.entries(WAYS), view.how, (chosen) => choose({how: chosen}))]);
    ask();
  }

  return {node: made.node, redraw: made.redraw, update, close() { asked += 1; made.close(); }};
}
