// The Results page: a metric's best jobs, and how it depends on the parameters.

import {go, setQuery} from "../app.js";
import {codeMix} from "../codemix.js";
import {at, button, el, empty} from "../common.js";
import {filterBox} from "../filterbox.js";
import {askNames, askReported, askResults, counting, same} from "./answers.js";
import {metricCard} from "./byparameter.js";
import {isDark} from "../charts/colours.js";
import {check, choice, fillBar} from "../charts/controls.js";
import {dataOf} from "./data.js";
import {chooseDirection, lessIsBetter, nameSaysLess} from "../direction.js";
import {legend} from "../charts/drawing.js";
import {listText} from "../lists.js";
import {pacing} from "../pace.js";
import {importanceCard, weigh} from "./importance/importance.js";
import {leaderActions} from "./leaderboard/actions.js";
import {leaderboardCard} from "./leaderboard/leaderboard.js";
import {aroundCell, aroundJob, aroundThese} from "./newjobs.js";
import {forestModel} from "./importance/model.js";
import {noResults} from "./noresults.js";
import {parallelPlot} from "../charts/parallel/parallel.js";
import {usualResult} from "../resultnames.js";
import {tally} from "./tally.js";
import {heatCard} from "./twoparameters.js";
import {bounded, rangesText, switchText, viewOf} from "./view.js";

/** The page (see app.js). */
export async function show(main, params, query) {
  const page = new ResultsPage(main, query);
  await page.begin();
  return {refresh: (changes, previous) => page.refresh(changes, previous), close: () => page.close()};
}

class ResultsPage {
  constructor(main, query) {
    this.main = main;
    this.view = viewOf(query);
    this.names = null;
    this.reported = new Set();  // metrics that jobs have reported
    this.answer = null;
    this.loads = 0;
    this.closed = false;
    this.mix = codeMix();
    const filter = (text) => encodeURIComponent([this.filter, text].filter(Boolean).join(" "));
    const keep = (values) => setQuery(bounded(values));
    const follow = {keep, open: (id) => go("/jobs/" + id),
      list: (text) => go("/jobs?filter=" + filter(text)),
      csv: (text) => at("/web/export.csv?filter=") + filter(text)};
    const tools = (board) => leaderActions(board,
      {curves: (metric) => this.curveOf(metric), around: (id) => aroundJob(this.data, id),
        filter: () => this.filter});
    this.model = forestModel();
    this.importance = importanceCard(this.model, (name) => this.look(name));
    this.leaders = leaderboardCard(this.view, {keep, tools});
    this.top = el("div", {class: "split wide-left"}, this.leaders.node, this.importance.node);
    this.plots = {
      metric: metricCard(this.view, {...follow, model: this.model}),
      heat: heatCard(this.view, {...follow, around: aroundCell}),
      parallel: parallelPlot(this.view, {...follow, around: aroundThese, keep: ({axes, ranges}) =>
        keep({axes: axes && listText(axes), ranges: rangesText(ranges)})})};
    this.repaint = () => {
      if (!this.data) return;
      this.drawLegend();
      for (const plot of Object.values(this.plots)) plot.redraw();
    };
    document.addEventListener("theme", this.repaint);
    // Not while somebody drags a range or types one.
    this.pace = pacing(() => this.reload(), () => this.plots.parallel.busy());
  }

  async begin() {
    [this.names, this.reported] = await Promise.all([askNames(), askReported()]);
    if (!this.main.isConnected) return;  // the page was left: the address is that of another one
    if (this.names.results.length) {
      this.frame();
      await this.pace.run(() => this.load());
    } else this.main.append(el("h1", {}, "Results"), noResults());
  }

  close() {
    this.closed = true;
    this.loads += 1;
    this.pace.close();
    document.removeEventListener("theme", this.repaint);
    for (const part of [this.mix, this.model, this.leaders, ...Object.values(this.plots)]) part.close();
  }

  // ---- the parts of the page

  frame() {
    const known = this.names.results.map((result) => result.name);
    if (!known.includes(this.metric)) {
      this.measure(usualResult(this.names.results, this.names.parameters.map(({name}) => name)));
    } else if (this.view.less === undefined) this.view.less = nameSaysLess(this.metric);
    this.box = filterBox({value: this.filter, placeholder: "Filter: lr<0.01 opt=adam", onchange: (text) => {
      this.view.filter = text;
      setQuery({filter: text});
      this.load();
    }});
    this.box.names([...this.names.parameters, ...this.names.results].map((one) => one.name));
    this.controls = el("div", {class: "results-controls"});
    this.export = el("a", {class: "button", download: ""}, "Export CSV");
    this.archive = el("a", {class: "button", download: "",
      title: "A folder for each job: parameters, how it ended, files and output"}, "Archive");
    this.legend = el("div", {class: "results-legend"});
    this.tally = el("p", {class: "hint", "aria-live": "polite"});
    this.body = el("div", {class: "results"});
    this.main.replaceChildren(
      el("div", {class: "head"},
        el("h1", {}, "Results"), el("span", {class: "grow"}), this.archive, this.export),
      el("div", {class: "toolbar results-tools"}, this.controls, this.box.node),
      el("div", {class: "results-say"}, this.tally, this.legend), this.mix.node, this.body);
    this.tools();
  }

  tools() {
    const way = (words, less) => {
      const made = button(words, () => {
        chooseDirection(this.metric, less);
        this.direct(less);
        this.draw();
        this.tools();
      });
      made.setAttribute("aria-pressed", String(this.less === less));
      return made;
    };
    const pick = (metric) => {
      this.measure(metric, true);
      this.tools();
      this.load();
    };
    const scale = (on) => {
      this.view.log = on;
      setQuery({log: switchText(on)});
      this.draw();
      this.tools();
    };
    const metrics = this.names.results.map(({name}) => [name, name]);
    const log = Boolean(this.data && this.data.log), canLog = Boolean(this.data && this.data.canLog);
    fillBar(this.controls, [metrics, this.metric, this.less, log, canLog], () => [
      choice("Metric", metrics, this.metric, pick),
      el("div", {class: "seg", role: "group", "aria-label": "Which values are better"},
        way("Lower is better", true), way("Higher is better", false)),
      check("Log scale", log, scale, !canLog)]);
  }

  get metric() { return this.view.metric; }
  get filter() { return this.view.filter; }
  get less() { return this.view.less; }

  /** Show another metric, in the direction that somebody has chosen for it in this browser; `push` makes it a
   * step to go back from. */
  measure(metric, push = false) {
    Object.assign(this.view, {metric, log: undefined, sort: null});
    setQuery({metric, log: "", sort: ""}, push);
    this.direct(lessIsBetter(metric));
  }

  /** An address that names a metric and no direction means the one that its name suggests, so that it shows
   * the same to somebody who has chosen otherwise. */
  direct(less) {
    this.view.less = less;
    setQuery({less: less === nameSaysLess(this.metric) ? "" : switchText(less)});
  }

  /** What jobs have reported of a metric: its name, or that of which it is the least or the most; "" where
   * there is none. */
  curveOf(metric) {
    return [metric, metric.replace(/\.(min|max)$/, "")].find((name) => this.reported.has(name)) || "";
  }

  // ---- loading

  async load() {
    const mine = (this.loads += 1);
    const query = this.filter ? "?filter=" + encodeURIComponent(this.filter) : "";
    this.export.href = at("/web/export.csv") + query;
    this.archive.href = at("/web/export.zip") + query;
    this.main.setAttribute("aria-busy", "true");
    try {
      // The leaders come from an index; all else is counted over all jobs, and waits.
      const counted = counting(this), refused = await this.lead(counted);
      if (mine !== this.loads) return;
      const answer = await askResults(this);
      if (mine !== this.loads) return;
      this.box.say("");
      const known = this.answer && same(this.answer, answer);
      if (!known) this.answer = answer;
      this.answer.counted = counted;
      if (!known) {
        this.draw();
        this.tools();
      } else if (this.data) {
        this.data.counted = counted;
        if (refused) this.leaders.tell(refused);
      }
    } catch (error) {
      if (mine === this.loads) this.refuse(error);
    } finally {
      if (mine === this.loads) this.main.removeAttribute("aria-busy");
    }
  }

  /** Show the leaders; gives the error where there is one. Their columns are in their order when it is known
   * how much parameters matter. */
  async lead(counted) {
    const {metric, less} = this;
    const weights = this.data && this.data.metric === metric ? this.data.weights : null;
    try {
      await this.leaders.update({metric, less, counted, weights}, this.names);
    } catch (error) { return error; }
    if (!this.leaders.empty && !this.body.firstChild) this.body.append(this.top);
    return null;
  }

  refuse(error) {
    if (error.status === 400) return this.box.say(error.message, true);
    if (this.answer) {
      this.tally.textContent = error.message;
      return undefined;
    }
    const again = button("Try again", () => this.load(), "primary");
    return this.body.replaceChildren(empty("The results could not be loaded", error.message, again));
  }

  refresh(changes, previous) {
    if (!previous || changes.files !== previous.files || changes.jobs !== previous.jobs) this.pace.again();
  }

  /** Load again, with the names that there are now. */
  async reload() {
    const had = this.names.results.length;
    [this.names, this.reported] = await Promise.all([askNames(), askReported()]);
    if (this.closed || !this.names.results.length) return;
    if (!had) this.frame();
    else if (this.names.results.length !== had) this.tools();
    await this.load();
  }

  // ---- drawing

  draw() {
    if (!this.answer) return;
    const data = this.data = dataOf(this.answer, this.less, this.view.log);
    this.tally.textContent = tally(this.answer);
    this.legend.hidden = !data.ids.length;
    if (!data.ids.length) {
      this.data = null;
      return this.body.replaceChildren(this.noJob());
    }
    data.weights = weigh(data);
    this.drawLegend();
    const {metric, heat, parallel} = this.plots;
    this.leaders.update(data, this.names).catch(this.leaders.tell);
    for (const plot of [metric, heat, parallel]) plot.update(data);
    heat.node.hidden = data.columns.length < 2;
    parallel.node.hidden = data.columns.length < 1;
    metric.node.hidden = data.columns.length + data.others.length < 1;
    this.importance.update(data);
    if (this.body.contains(metric.node)) return;
    const pair = el("div", {class: "split plot-pair"}, metric.node, heat.node);
    this.body.replaceChildren(this.top, pair, parallel.node);
  }

  /** Look at a parameter, at its partial dependence where there is one. */
  look(name) {
    const {metric} = this.plots, still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    metric.pick(name, "dependence");
    metric.node.scrollIntoView({block: "nearest", behavior: still ? "auto" : "smooth"});
  }

  noJob() {
    const clear = button("Clear the filter", () => {
      this.box.set("");
      this.view.filter = "";
      setQuery({filter: ""});
      this.load();
    });
    const words = `No job has the result ${this.metric}` + (this.filter ? " and matches the filter." : ".");
    return empty("No job to show", words, this.filter ? clear : null);
  }

  drawLegend() {
    const {metric, less, range, min, max} = this.data;
    const beyond = range.low > min || range.high < max;
    this.legend.replaceChildren(legend({name: metric, less, ...range, beyond}, isDark()));
  }
}
