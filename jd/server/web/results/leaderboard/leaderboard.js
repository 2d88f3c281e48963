// The card "Leaderboard": the first jobs of the metric, or of what somebody sorts by, with chosen columns.

import {button, el} from "../../common.js";
import {cut, metric as figure, number, status, value as written} from "../../format.js";
import {lessIsBetter} from "../../direction.js";
import {isNumber, stringify} from "../../exactjson.js";
import {listText} from "../../lists.js";
import {keeping} from "../../charts/controls.js";
import {text} from "../../charts/drawing.js";
import {jobLink} from "../../charts/plot.js";
import {columnChooser, plainName} from "./columns.js";
import {sortText, TOPS} from "../view.js";

const MOST_COLUMNS = 30;  // that are shown before somebody chooses
const CUT = 20, CUT_CELL = 28;  // characters of a head and of a cell

/** The card. `view` = {columns, sort, top} is what was chosen, which is told to `keep`; `tools(board)` gives
 * what can be done with what it shows, {update(), row(id)}: see actions.js. */
export function leaderboardCard(view, {keep, tools}) {
  const ticked = new Set(), page = {names: null, of: null};
  let asked = 0, answered = null;  // what was asked and the answer, which is shown until the next one comes
  let shown = null, drawn = "", stale = false;
  const board = {
    ticked, view,
    /** {metric, less, names (param.lr, …), rows, sort} as they are shown; null before the first answer. */
    get shown() { return shown; },
    clear() { ticked.clear(); draw(); },
  };
  const acts = tools(board);
  const columns = columnChooser({
    all: () => [...page.names.results.map(({name}) => "result." + name),
      ...page.names.parameters.map(({name}) => "param." + name)].filter((name) => name !== own()),
    shown: () => chosen(), isChosen: () => view.columns !== null,
    choose(names) { choose({columns: names}); }});
  const end = el("span", {class: "plot-n"}), say = el("p", {class: "plot-note", "aria-live": "polite"});
  const sheet = el("div",
    {class: "scroll sheet", tabindex: 0, role: "region", "aria-label": "The best jobs"});
  sheet.addEventListener("toggle", () => stale && draw(), true);
  const foot = el("div", {class: "pager", hidden: true});
  const node = el("section", {class: "card plot plot-leaders", "aria-label": "Leaderboard"},
    el("div", {class: "card-head"}, el("h2", {}, "Leaderboard"), end,
      el("div", {class: "leader-tools"}, acts.node, columns)), say, sheet, foot);

  const own = () => "result." + page.of.metric;
  const known = (name) => {
    const [kind, list] = name.startsWith("result.") ? [7, page.names.results] : [6, page.names.parameters];
    return /^(result|param)\./.test(name) && list.some((one) => one.name === name.slice(kind));
  };
  const sort = () => (view.sort && known(view.sort.by) ? view.sort : {by: own(), down: !page.of.less});
  // Before it is known how much parameters matter, those that vary in any jobs.
  const usual = () => (page.of.weights ? page.of.weights.map(({column}) => column.filterName)
    : page.names.parameters.filter(({distinct}) => distinct === null || distinct > 1)
      .map(({name}) => "param." + name)).slice(0, MOST_COLUMNS);
  const chosen = () => {
    const some = (view.columns || []).filter(known);
    return some.length || view.columns?.length === 0 ? some.filter((name) => name !== own()) : usual();
  };

  function choose(values) {
    Object.assign(view, values);
    const {columns: names, sort: by, top} = view;
    keep({columns: names ? listText(names) : "", sort: sortText(by), top: top === TOPS[0] ? "" : top});
    ask().catch(tell);
  }

  /** The better end first, then the other one, then by the metric again. */
  function sortBy(name) {
    const better = name.startsWith("result.") && !lessIsBetter(plainName(name)), now = sort();
    if (name === own()) {
      const usualWay = now.by === name && now.down === !page.of.less;
      return choose({sort: usualWay ? {by: name, down: page.of.less} : null});
    }
    if (now.by !== name) return choose({sort: {by: name, down: better}});
    return choose({sort: now.down === better ? {by: name, down: !better} : null});
  }

  const tell = (error) => { say.textContent = error.message; };

  /** Show what is wanted now, which is asked for where the last answer does not have it. */
  async function ask() {
    const mine = (asked += 1), {of: {metric, less, counted}} = page, names = chosen(), by = sort();
    const order = {less: Number(less), limit: view.top, sort: by.by, down: Number(by.down)};
    const key = JSON.stringify(order);
    if (answered?.counted !== counted || answered.key !== key
      || !names.every((name) => answered.names.includes(name))) {
      const found = await counted("leaders", {...order, columns: listText(names)}).catch((error) => {
        if (mine === asked) throw error;
      });
      if (mine !== asked) return;
      answered = {counted, key, names, ...found};
    }
    const places = names.map((name) => answered.names.indexOf(name));
    const rows = answered.rows.map((row) => ({...row, given: places.map((at) => row.given[at])}));
    shown = {metric, less, total: answered.total, names, rows, sort: by};
    say.textContent = "";
    if (stringify(shown) !== drawn) draw();
    else acts.update();
  }

  function draw() {
    stale = Boolean(sheet.querySelector(":popover-open"));  // somebody reads the menu of a row
    if (!shown || stale) return;
    drawn = stringify(shown);
    const {metric, total, rows, sort: by} = shown, way = by.down ? "highest" : "lowest";
    const there = new Set(rows.map(({id}) => id));
    for (const id of [...ticked]) if (!there.has(id)) ticked.delete(id);
    end.textContent = by.by === "result." + metric ? `${way} ${number(rows.length)} of ${number(total)}`
      : `${number(rows.length)} of ${number(total)} by ${cut(plainName(by.by), CUT)}`;
    keeping(node, () => {
      sheet.replaceChildren(tableOf(shown, {ticked, sortBy, acts, redraw: draw}));
      const next = TOPS.find((top) => top > view.top), steps = TOPS.filter((top) => top < view.top);
      foot.replaceChildren(
        next && rows.length < total ? button("Show " + number(Math.min(next, total)),
          () => choose({top: next}), "small") : "",
        steps.length ? button("Show " + number(steps[0]), () => choose({top: steps[0]}), "small quiet") : "");
      foot.hidden = !foot.querySelector("button");
      acts.update();
    });
  }

  return {
    node, choose, tell,
    get empty() { return !shown || !shown.rows.length; },
    /** Show the leaders `of` = {metric, less, counted (answers.js), weights, null: not known yet}. */
    update(of, names) {
      Object.assign(page, {of, names});
      return ask();
    },
    close() { asked += 1; },
  };
}

function tableOf(shown, {ticked, sortBy, acts, redraw}) {
  const {metric, names, rows, sort, less} = shown, own = "result." + metric;
  const ofResult = sort.by.startsWith("result."), ranked = ofResult ? plainName(sort.by) : metric;
  const numeric = names.map((_, at) =>
    rows.every(({given}) => given[at] == null || isNumber(given[at])));
  const twice = (name) => names.filter((one) => plainName(one) === plainName(name)).length > 1
    || (name !== own && plainName(name) === metric);
  const head = (name, kind) => {
    const which = name.startsWith("param.") ? " (parameter)" : " (result)";
    const plain = plainName(name) + (twice(name) ? which : "");
    const order = sort.by === name ? (sort.down ? "descending" : "ascending") : false;
    return el("th", {scope: "col", class: kind, title: plain, "aria-sort": order},
      el("button", {type: "button", class: "sort", onclick: () => sortBy(name)}, cut(plain, CUT)));
  };
  const whole = () => rows.length > 0 && rows.every(({id}) => ticked.has(id));
  const every = el("input", {type: "checkbox", "aria-label": "Tick all that are shown",
    checked: whole(), onchange: () => {
      for (const {id} of rows) ticked[every.checked ? "add" : "delete"](id);
      redraw();
    }});
  const changed = () => { every.checked = whole(); acts.update(); };
  const heads = [
    el("th", {scope: "col", class: "check"}, every),
    el("th", {scope: "col", class: "rank", title: "Rank by " + ranked}, "#"),
    el("th", {scope: "col"}, "Job"), head(own, "num value"),
    ...names.map((name, at) => head(name, numeric[at] ? "num" : false)),
    el("th", {scope: "col", class: "acts"}, el("span", {class: "sr"}, "Actions"))];
  const best = sort.by === own && sort.down !== less;
  return el("table", {class: "data"}, el("thead", {}, el("tr", {}, ...heads)),
    el("tbody", {}, ...rows.map((row) => rowOf(row, {numeric, best, ticked, acts, changed}))));
}

function rowOf({id, rank, status: state, retry_at: retryAt, value, given}, shown) {
  const {numeric, best, ticked, acts, changed} = shown;
  const tick = el("input", {type: "checkbox", "aria-label": "Tick job " + id, checked: ticked.has(id),
    onchange: () => {
      ticked[tick.checked ? "add" : "delete"](id);
      line.setAttribute("aria-selected", String(tick.checked));
      changed();
    }});
  const cell = (one, at) => {
    const told = cut(text(one), CUT_CELL), full = one == null ? told : written(one);
    const title = full === told ? false : full.slice(0, 1000);
    return el("td", {class: numeric[at] ? "num" : false, title}, told);
  };
  const running = state === "DONE" ? null : el("span", {class: "leader-state"}, status(state, retryAt));
  const first = best && rank === 1 ? "first" : false;
  const line = el("tr", {class: first, "aria-selected": String(ticked.has(id))},
    el("td", {class: "check"}, tick), el("td", {class: "rank"}, rank === null ? "–" : number(rank)),
    el("td", {}, jobLink(id), running),
    el("td", {class: "num value", title: written(value)}, figure(value)),
    ...given.map(cell), el("td", {class: "acts"}, acts.row(id)));
  return line;
}
