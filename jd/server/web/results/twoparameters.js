// The card "Two parameters": the metric over two of them, with choices above.

import {within} from "./binfilter.js";
import {choice, fillBar, segments} from "./charts/controls.js";
import {heatmap, heatRows, WAYS} from "./charts/heatmap.js";
import {plot} from "./charts/plot.js";

/** The card. `view` = {across, down, how} is what was chosen; choices are told to `keep`; a click on a cell
 * gives `list` the filter of its jobs. */
export function heatCard(view, {list, keep}) {
  let data = null, across = null, down = null;
  const made = plot({
    title: "Two parameters", name: "heat",
    draw(box, width) {
      if (!across || !down) return;
      made.say(heatmap(box, width, data, across, down, {how: view.how, open: follow}));
    },
    rows: () => heatRows(data, across, down, view.how),
  });

  function follow(binX, binY) {
    list([...within(across, binX), ...within(down, binY)].join(" "));
  }

  function choose(values) {
    Object.assign(view, values);
    keep(values);
    update(data);
  }

  function update(next) {
    data = next;
    const order = data.weights.map((weight) => weight.column);
    across = order.find((column) => column.name === view.across)
      || order.find((column) => column.name !== view.down);
    down = order.find((column) => column.name === view.down && column !== across)
      || order.find((column) => column !== across);
    if (!down) return fillBar(made.bar, [], () => []);
    if (!WAYS[view.how]) view.how = "mean";
    const how = view.how[0].toUpperCase() + view.how.slice(1);
    made.name(`${how} ${data.metric} by ${across.name} and ${down.name}`);
    const names = order.map((column) => [column.name, column.name]);
    // Who chooses the parameter of the other axis exchanges the two.
    const chooseAcross = (name) =>
      choose(name === down.name ? {across: name, down: across.name} : {across: name});
    const chooseDown = (name) =>
      choose(name === across.name ? {down: name, across: down.name} : {down: name});
    fillBar(made.bar, [names, across.name, down.name, view.how], () => [
      choice("Across", names, across.name, chooseAcross),
      choice("Up", names, down.name, chooseDown),
      segments("Each cell shows", Object.entries(WAYS), view.how, (chosen) => choose({how: chosen}))]);
    made.redraw();
  }

  return {node: made.node, redraw: made.redraw, close: made.close, update};
}
