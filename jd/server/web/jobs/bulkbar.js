// The bar at the bottom while jobs are selected.

import {go} from "../app.js";
import {button, el, menu, toast} from "../common.js";
import {statusesOf} from "../filter.js";
import {number} from "../format.js";
import {ACTIONS, openAction} from "../jobactions.js";

const COMPARED = 10;  // jobs that the page Compare has beside each other
const LONGEST = 6000;  // characters of ids in an address; servers take 8,000 of the whole
const SHOWN = ["retry", "abort", "delete", "restore"], MORE = ["tag", "prioritise", "normal"];

/** {node, update(), narrow()}. `page()` gives the page's {state, jobs, next, from, total}; `done` is called
 * after an action; `narrow` forgets that all jobs that match were selected. */
export function bulkBar({table, page, done}) {
  let all = false;  // whether all that match are selected, not only those of this page
  const said = el("b", {}), widen = button("", () => { all = true; update(); }, "small quiet");
  const clear = () => { all = false; table.select([]); };
  const act = (action) => {
    const target = all ? {filter: page().state.filter} : {ids: [...table.selected.keys()]};
    openAction({action, ...target, done: () => { clear(); done(); }});
  };
  const buttons = SHOWN.map((action) => {
    const {verb, danger} = ACTIONS[action];
    return [action, button(verb, () => act(action), danger ? "danger" : false)];
  });
  const curves = button("Curves", () => {
    const {filter} = page().state;
    if (all) return go("/curves?" + (filter ? "filter=" + encodeURIComponent(filter) : "best=1000"));
    const ids = [...table.selected.keys()].sort((a, b) => a - b).join(",");
    if (ids.length > LONGEST) return toast("These are too many for one address: use a filter.", true);
    return go("/curves?ids=" + ids);
  });
  const more = menu("More",
    () => MORE.filter(fits).map((action) => [ACTIONS[action].verb, () => act(action)]));
  const compare = button("Compare", () => go("/compare?ids=" + [...table.selected.keys()].join(",")));
  const node = el("div", {class: "bulk", role: "region", "aria-label": "Selected jobs", hidden: true},
    said, widen, compare, curves, ...buttons.map(([, one]) => one), more, button("Clear", clear, "quiet"));

  // The statuses that the selected jobs have, as far as they are known: null among them for any.
  const here = () => new Set(all ? statusesOf(page().state.filter) : table.selected.values());
  const fits = (action) => {
    const there = here();
    return !there.size || there.has(null) || ACTIONS[action].takes.some((status) => there.has(status));
  };

  function update() {
    const chosen = table.selected.size, {state, jobs, next, from, total} = page();
    if (!chosen) all = false;
    node.hidden = !chosen;
    if (!chosen) return;
    const known = total && total[1] ? number(total[0]) + " " : "";
    const everything = known + (state.filter ? "that match" : "jobs");
    said.textContent = all ? "All " + everything : number(chosen) + " selected";
    const whole = jobs.length > 0 && jobs.every((job) => table.selected.has(job.id));
    widen.hidden = all || !whole || (next === null && from === 0);
    widen.textContent = "Select all " + everything;
    compare.hidden = all || chosen < 2 || chosen > COMPARED;
    for (const [action, one] of buttons) {
      one.hidden = !fits(action) || (action === "restore" && all && !here().size);
    }
  }

  return {node, update, narrow() { all = false; }};
}
