// The page Curves: what jobs report while they run, over each other.

import {go, setQuery} from "../app.js";
import {button, el, empty} from "../common.js";
import {colouring, curvesPlot} from "../charts/curves.js";
import {wantsLogUp} from "../charts/series.js";
import {chooseDirection, lessIsBetter} from "../direction.js";
import {filterBox} from "../filterbox.js";
import {count, number} from "../format.js";
import {pacing} from "../pace.js";
import {queryOf, rangeOf, viewOf} from "./address.js";
import {askCurves, askDetail, askNames, askParameters} from "./answers.js";
import {howControls, whichControls} from "./controls.js";
import {noCurves} from "./nocurves.js";
import {runsList} from "./runs.js";

const TALL = 460, LESS_TALL = 300;  // pixels of one plot, and of several
const MOST_COLUMNS = 6;
const RESTS = 250;  // milliseconds without a step after which a drag rests
const LAST = -Number.MAX_VALUE;  // the rank of a run whose last value is none

/** The page (see app.js). */
export async function show(main, _params, query) {
  const page = new CurvesPage(main, query);
  await page.begin();
  return {
    refresh: (changes, previous) => {
      const changed = (topic) => !previous || changes[topic] !== previous[topic];
      if (["reports", "jobs"].some(changed)) page.pace.again();
    },
    close: () => page.close(),
  };
}

class CurvesPage {
  constructor(main, query) {
    this.main = main;
    this.view = viewOf(query);
    this.names = [];
    this.answers = new Map();  // by metric
    this.details = new Map();  // the same with the range of x in more detail
    this.parameters = {ids: "", names: [], of: () => ({})};  // in which the runs differ
    this.plots = new Map();
    this.loads = this.frame = this.resting = 0;
    this.lit = null;
    this.repaint = () => this.draw();
    document.addEventListener("theme", this.repaint);
    this.pace = pacing(() => this.reload());
  }

  async begin() {
    this.names = await askNames();
    if (!this.main.isConnected) return;  // the page was left: the address is that of another one
    if (this.names.length) await this.pace.run(() => this.open());
    else this.main.replaceChildren(el("h1", {}, "Curves"), noCurves());
  }

  close() {
    this.closed = true;
    this.loads += 1;
    this.pace.close();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.resting);
    document.removeEventListener("theme", this.repaint);
    for (const plot of this.plots.values()) plot.close();
  }

  // ---- the parts of the page

  async open() {
    const known = this.names.map(({name}) => name), {view} = this;
    view.metrics = view.metrics.filter((name) => known.includes(name));
    if (!view.metrics.length) {
      view.metrics = [this.names.reduce((most, one) => (one.n > most.n ? one : most)).name];
    }
    if (view.less === undefined) view.less = lessIsBetter(view.metrics[0]);
    setQuery(queryOf(view));  // whoever is sent the address sees the same
    this.box = filterBox({value: view.filter, placeholder: "Filter: lr<0.01 opt=adam",
      onchange: (filter) => this.change({filter, ids: [], hidden: new Set(), best: viewOf(
        new URLSearchParams({filter})).best})});
    this.which = whichControls((values) => this.change(values));
    this.how = howControls((values, dragging) => this.change(values, dragging));
    this.tally = el("p", {class: "hint grow", "aria-live": "polite"});
    this.cards = el("div", {class: "curves-cards"});
    this.list = runsList({
      show: (id, on) => this.hide([id], !on),
      showAll: (on) => this.hide(this.runs.map(({id}) => id), !on),
      lit: (id) => this.light(id)});
    this.nothing = el("div", {hidden: true});
    this.body = el("div", {class: "results"}, el("div", {class: "split wide-left curves-split"},
      this.cards, this.list.node), this.nothing);
    this.main.replaceChildren(
      el("div", {class: "head"}, el("h1", {}, "Curves")),
      el("div", {class: "toolbar results-tools"}, this.which.node, this.box.node),
      el("div", {class: "toolbar"}, this.how.node, this.tally), this.body);
    await this.load();
  }

  /** What somebody chose. While they drag only the drawing follows, as a sketch until the drag rests. */
  change(values, dragging = false) {
    const {view} = this, before = this.asked(), range = rangeOf(view);
    if (values.less !== undefined) chooseDirection(view.metrics[0], values.less);
    const [first] = view.metrics;
    Object.assign(view, values);
    if (first !== view.metrics[0]) view.less = lessIsBetter(view.metrics[0]);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.resting);
    if (dragging) {
      const follow = (sketch) => {
        for (const plot of this.plots.values()) plot.update({...plot.view, ...values, sketch});
      };
      this.frame = requestAnimationFrame(() => follow(true));
      this.resting = setTimeout(follow, RESTS, false);
      return;
    }
    this.box.set(view.filter);
    setQuery(queryOf(view));
    if (this.asked() !== before) this.pace.run(() => this.load());
    else if (rangeOf(view) !== range) this.look();
    this.draw();
  }

  // What the answers of the server depend on.
  asked() {
    const {metrics, ids, filter, best, x, less} = this.view;
    return JSON.stringify([metrics, ids, filter, best, x, less]);
  }

  lessOf(metric) {
    const {less, metrics} = this.view;
    return metric === metrics[0] ? less : lessIsBetter(metric);
  }

  hide(ids, on) {
    const hidden = new Set(this.view.hidden);
    for (const id of ids) if (on) hidden.add(id); else hidden.delete(id);
    this.change({hidden});
  }

  light(id, from) {
    this.lit = id;
    for (const plot of this.plots.values()) if (plot !== from) plot.light(id);
    this.list.light(id);
  }

  // ---- loading

  async load() {
    const mine = (this.loads += 1), view = {...this.view}, {metrics} = view, range = rangeOf(view);
    this.main.setAttribute("aria-busy", "true");
    try {
      const found = await Promise.all(metrics.map(async (metric) => {
        const answer = await askCurves(metric, view, this.lessOf(metric));
        const whole = {...answer, log: wantsLogUp(answer.curves)};
        return [whole, range ? await askDetail(whole, metric, view, this.lessOf(metric)) : null];
      }));
      if (mine !== this.loads) return;
      this.answers = new Map(metrics.map((metric, at) => [metric, found[at][0]]));
      // Those of the answers before may be of other jobs.
      this.details = new Map(range ? metrics.map((metric, at) => [metric, found[at][1]]) : []);
      this.box.say("");
      if (rangeOf(this.view) !== range) this.look();  // somebody has chosen another one meanwhile
      this.draw();
      await this.tellApart(mine);
    } catch (error) {
      if (mine === this.loads) this.refuse(error);
    } finally {
      if (mine === this.loads) this.main.removeAttribute("aria-busy");
    }
  }

  /** Get what there is within the range of x in more detail. */
  async look() {
    const range = rangeOf(this.view), mine = this.loads;
    if (!range) return this.details.clear();
    try {
      for (const [metric, answer] of this.answers) {
        const found = await askDetail(answer, metric, this.view, this.lessOf(metric));
        if (mine !== this.loads || range !== rangeOf(this.view)) return;
        this.details.set(metric, found);
      }
      this.draw();
    } catch (error) { if (mine === this.loads) this.refuse(error); }
  }

  /** Get the parameters in which the runs differ. */
  async tellApart(mine) {
    const ids = this.runs.map(({id}) => id).sort((a, b) => a - b), key = ids.join();
    if (key === this.parameters.ids) return;
    const found = await askParameters(ids);
    if (mine !== this.loads) return;
    this.parameters = {ids: key, ...found};
    this.draw();
  }

  refuse(error) {
    if (error.status === 400) this.box.say(error.message, true);
    else if (this.answers.size) this.tally.textContent = error.message;
    else {
      this.body.firstChild.hidden = true;
      this.nothing.hidden = false;
      this.nothing.replaceChildren(empty("The curves could not be loaded", error.message,
        button("Try again", () => this.pace.run(), "primary")));
    }
  }

  /** Load again, with the names that there are now. */
  async reload() {
    const had = this.names.length;
    this.names = await askNames();
    if (this.closed || !this.names.length) return;
    await (had ? this.load() : this.open());
  }

  // ---- drawing

  draw() {
    const {view, answers} = this, [first] = view.metrics;
    if (!answers.size) return;
    const order = new Map();  // of each run, its place, by which few have their colours
    for (const {curves} of answers.values()) {
      for (const {id} of curves) if (!order.has(id)) order.set(id, order.size);
    }
    this.runs = [...order.keys()].map((id) => ({id, hidden: view.hidden.has(id), lasts: new Map(),
      parameters: this.parameters.of(id), colour: "", status: "", rank: LAST}));
    for (const [metric, answer] of answers) this.drawOne(metric, this.details.get(metric) || answer, order);
    for (const [metric, plot] of this.plots) {
      if (answers.has(metric)) continue;
      plot.close();
      this.plots.delete(metric);
    }
    const wanted = [...answers.keys()].map((metric) => this.plots.get(metric).node);
    if (wanted.some((node, at) => this.cards.children[at] !== node) || this.cards.children.length
      !== wanted.length) this.cards.replaceChildren(...wanted);
    this.runs.sort((a, b) => b.rank - a.rank || a.id - b.id);
    this.list.update([...answers.keys()], this.runs,
      this.parameters.names.slice(0, MOST_COLUMNS));
    this.body.firstChild.hidden = !this.runs.length;
    this.nothing.hidden = Boolean(this.runs.length);
    if (!this.runs.length) this.nothing.replaceChildren(this.noRun());
    this.tell(answers.get(first));
    this.which.fill({names: this.names.map(({name}) => name), view});
    this.how.fill(view, this.logY);
  }

  drawOne(metric, {curves, log}, order) {
    const {view} = this, main = metric === view.metrics[0], less = this.lessOf(metric);
    const ordered = curves.slice().sort((a, b) => order.get(a.id) - order.get(b.id));
    const colours = colouring(ordered, less), few = !colours.scale;
    const drawn = ordered.map((curve, at) => {
      const place = order.get(curve.id), run = this.runs[place];
      const made = {...curve, key: curve.id, label: "Job #" + curve.id, running: curve.status === "SERVED",
        hidden: run.hidden, rank: curve.last === null ? LAST : less ? -curve.last : curve.last,
        colour: few ? colours.of(place) : colours.of(at),
        facts: () => Object.entries(run.parameters)};
      run.lasts.set(metric, curve.last);
      if (main || !run.colour) {
        Object.assign(run, {colour: made.colour, status: curve.status,
          retry_at: curve.retry_at, rank: made.rank});
      }
      return made;
    });
    const zoom = view.zoom && {...view.zoom};
    if (zoom && metric !== (view.of || view.metrics[0])) zoom.low = zoom.high = NaN;
    const some = zoom && Object.values(zoom).some(Number.isFinite) ? zoom : null;
    const logY = view.logY === undefined ? log : view.logY, {x, smooth, logX} = view;
    if (main) this.logY = logY;
    const plot = this.plotOf(metric);
    plot.view = {metric, less, x, smooth, logX, logY, zoom: some, curves: drawn, scale: colours.scale};
    plot.update(plot.view);
  }

  plotOf(metric) {
    if (!this.plots.has(metric)) {
      const plot = curvesPlot({title: metric, tall: this.view.metrics.length > 1 ? LESS_TALL : TALL,
        open: ({id}) => go("/jobs/" + id),
        zoomed: (zoom) => this.change({zoom, of: metric}),
        lit: (id) => this.light(id, plot)});
      const drop = button("Remove", () =>
        this.change({metrics: this.view.metrics.filter((other) => other !== metric)}), "quiet curves-drop");
      drop.setAttribute("aria-label", "Remove " + metric);
      plot.node.firstChild.append(drop);
      this.plots.set(metric, plot);
    }
    return this.plots.get(metric);
  }

  noRun() {
    const {filter, ids, metrics: [first]} = this.view;
    const which = filter ? " that matches the filter" : ids.length ? " of those chosen" : "";
    const clear = button("Show the best jobs", () => this.change(
      {filter: "", ids: [], hidden: new Set(), best: viewOf(new URLSearchParams()).best}));
    return empty("No job to show", `No job${which} has reported ${first}.`, which ? clear : null);
  }

  tell({total, curves}) {
    const [first] = this.view.metrics, running = curves.filter(({status}) => status === "SERVED");
    const of = total > curves.length ? `${number(curves.length)} of ${count(total, "job")}`
      : count(curves.length, "job");
    this.tally.textContent = curves.length
      ? `${of} with ${first}${running.length ? `, ${number(running.length)} running (a dot at the end)` : ""}`
      : "";
  }
}
