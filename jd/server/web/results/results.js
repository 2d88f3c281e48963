// The Results page: a metric's best jobs, and how it depends on the parameters.

import {go, setQuery} from "../app.js";
import {ask, button, el, empty} from "../common.js";
import {measuredFirst} from "../resultnames.js";
import {filterBox} from "../filterbox.js";
import {count, number} from "../format.js";
import {importanceCard, weigh} from "./importance.js";
import {bestOf, bestOfRows, leaderboardCard, shownColumns} from "./leaderboard.js";
import {dataOf, lessIsBetter} from "./statistics.js";
import {parallelPlot} from "./parallel/parallel.js";
import {choice, check, fillBar, keeping, legend} from "./plot.js";
import {isDark} from "./colours.js";
import {heatCard, metricCard} from "./byparameter.js";

const LIMIT = 50000, EVERY = 5000;
const CHOICES = "results.less";

// The direction that somebody chose for a metric is kept by its name.
function chosenLess(metric) {
  try {
    return JSON.parse(localStorage.getItem(CHOICES) || "{}")[metric];
  } catch (error) { return undefined; }
}

function keepLess(metric, less) {
  try {
    const kept = JSON.parse(localStorage.getItem(CHOICES) || "{}");
    localStorage.setItem(CHOICES, JSON.stringify(Object.assign(kept, {[metric]: less})));
  } catch (error) { /* it holds until the page is left */ }
}

const EXAMPLE = `import json, jd
with open("result.json", "w") as file:
    json.dump({"accuracy": 0.93, "loss": 0.21}, file)
jd.jd_upload("result.json")`;

const nothing = () => empty("No results yet",
  "A job has results when it uploads a file named result.json or metrics.json with numbers by name. "
  + "They can be compared here as soon as the first one arrives.",
  el("pre", {class: "code results-example", tabindex: 0, "aria-label": "How a job uploads results, in Python"}, EXAMPLE));

/** The page (see app.js). */
export async function show(main, params, query) {
  const page = new ResultsPage(main, query);
  await page.begin();
  return {refresh: (changes, previous) => page.refresh(changes, previous), close: () => page.close()};
}

async function names() {
  const found = await ask("results/names"), by = new Map(found.results.map((one) => [one.name, one]));
  const order = measuredFirst([...by.keys()], found.parameters.map(({name}) => name));
  return {parameters: found.parameters, results: order.map((name) => by.get(name))};
}

class ResultsPage {
  constructor(main, query) {
    this.main = main;
    this.filter = query.get("filter") || "";
    this.metric = query.get("metric") || "";
    this.view = {x: query.get("x"), across: query.get("across"), down: query.get("down"), how: query.get("how") || "mean"};
    this.log = undefined;
    this.names = null;
    this.answer = null;
    this.loads = 0;
    this.closed = false;
    this.timer = 0;
    this.cost = 0;
    this.loaded = 0;
    const filter = (text) => encodeURIComponent([this.filter, text].filter(Boolean).join(" "));
    const follow = {open: (id) => go("/jobs/" + id), list: (text) => go("/jobs?filter=" + filter(text)),
      keep: (values) => setQuery(values)};
    this.plots = {metric: metricCard(this.view, follow), heat: heatCard(this.view, follow),
      parallel: parallelPlot({order: null, hidden: new Set(), ranges: new Map()}, follow)};
    this.repaint = () => {
      if (!this.data) return;
      this.drawLegend();
      for (const plot of Object.values(this.plots)) plot.redraw();
    };
    document.addEventListener("theme", this.repaint);
  }

  async begin() {
    this.names = await names();
    if (this.names.results.length) {
      this.frame();
      await this.load();
    } else this.main.append(el("h1", {}, "Results"), nothing());
  }

  close() {
    this.closed = true;
    this.loads += 1;
    clearTimeout(this.timer);
    document.removeEventListener("theme", this.repaint);
    for (const plot of Object.values(this.plots)) plot.close();
  }

  // ---- the parts of the page

  frame() {
    const known = this.names.results.map((result) => result.name);
    const own = new Set(this.names.parameters.map(({name}) => name));
    if (!known.includes(this.metric)) {
      this.metric = this.names.results.slice().sort((a, b) => own.has(a.name) - own.has(b.name) || b.n - a.n)[0].name;
    }
    this.box = filterBox({value: this.filter, placeholder: "Filter: lr<0.01 opt=adam", onchange: (text) => {
      this.filter = text;
      setQuery({filter: text});
      this.load();
    }});
    this.box.names([...this.names.parameters, ...this.names.results].map((one) => one.name));
    this.controls = el("div", {class: "results-controls"});
    this.export = el("a", {class: "button", download: ""}, "Export CSV");
    this.legend = el("div", {class: "results-legend"});
    this.tally = el("p", {class: "hint", "aria-live": "polite"});
    this.body = el("div", {class: "results"});
    this.main.replaceChildren(
      el("div", {class: "head"}, el("h1", {}, "Results"), el("span", {class: "grow"}), this.export),
      el("div", {class: "toolbar results-tools"}, this.controls, this.box.node),
      el("div", {class: "results-say"}, this.tally, this.legend), this.body);
    this.tools();
  }

  tools() {
    const way = (words, less) => {
      const made = button(words, () => {
        keepLess(this.metric, less);
        this.draw();
        this.tools();
        if (this.answer && this.sampled()) this.load();  // for the other end of the list
      });
      made.setAttribute("aria-pressed", String(this.less === less));
      return made;
    };
    const metrics = this.names.results.map(({name}) => [name, name]);
    const log = Boolean(this.data && this.data.log), canLog = Boolean(this.data && this.data.canLog);
    fillBar(this.controls, [metrics, this.metric, this.less, log, canLog], () => [choice("Metric", metrics, this.metric, (metric) => {
      this.metric = metric;
      this.log = undefined;
      setQuery({metric});
      this.tools();
      this.load();
    }), el("div", {class: "seg", role: "group", "aria-label": "Which values are better"},
      way("Lower is better", true), way("Higher is better", false)),
    check("Log scale", log, (on) => { this.log = on; this.draw(); this.tools(); }, !canLog)]);
  }

  get less() {
    const chosen = chosenLess(this.metric);
    return typeof chosen === "boolean" ? chosen : lessIsBetter(this.metric);
  }

  // ---- loading

  async load() {
    const mine = (this.loads += 1), from = performance.now();
    const query = new URLSearchParams({metric: this.metric, filter: this.filter, limit: LIMIT});
    this.export.href = "/web/export.csv" + (this.filter ? "?filter=" + encodeURIComponent(this.filter) : "");
    this.main.setAttribute("aria-busy", "true");
    try {
      const answer = await ask("results/columns?" + query);
      const best = answer.shown < answer.total && answer.values.length ? await this.askBest() : null;
      if (mine !== this.loads) return;
      this.box.say("");
      this.cost = performance.now() - from;
      this.loaded = Date.now();
      if (!this.same(answer, best)) {
        this.answer = answer;
        this.best = best;
        this.draw();
        this.tools();
      }
    } catch (error) {
      if (mine !== this.loads) return;
      if (error.status === 400) this.box.say(error.message, true);
      else if (this.answer) this.tally.textContent = error.message;
      else this.body.replaceChildren(empty("The results could not be loaded", error.message, button("Try again", () => this.load(), "primary")));
    } finally {
      if (mine === this.loads) this.main.removeAttribute("aria-busy");
    }
  }

  // A sample may lack the best jobs; the jobs list knows them.
  async askBest() {
    const query = new URLSearchParams({filter: this.filter, sort: (this.less ? "" : "-") + "result." + this.metric, limit: 20});
    try {
      return {less: this.less, rows: (await ask("jobs?" + query)).jobs};
    } catch (error) { return null; }
  }

  same(answer, best) {
    const old = this.answer;
    return Boolean(old) && old.metric === answer.metric && old.total === answer.total && old.ids.length === answer.ids.length
      && old.ids.every((id, at) => id === answer.ids[at]) && old.values.every((value, at) => value === answer.values[at])
      && JSON.stringify(best) === JSON.stringify(this.best);
  }

  /** Live: at most every 5 seconds, more seldom when loading takes long, not while somebody brushes. */
  refresh(changes, previous) {
    if (previous && changes.files === previous.files && changes.jobs === previous.jobs) return;
    clearTimeout(this.timer);
    const again = async () => {
      if (this.plots.parallel.busy()) { this.timer = setTimeout(again, 1000); return; }
      this.loaded = Date.now();
      const had = this.names.results.length;
      this.names = await names();
      if (this.closed || !this.names.results.length) return;
      if (!had) { this.frame(); await this.load(); return; }
      if (this.names.results.length !== had) this.tools();
      await this.load();
    };
    const wait = this.loaded + Math.max(EVERY, 10 * this.cost) - Date.now();
    this.timer = setTimeout(() => again().catch((error) => console.warn(error)), Math.max(0, wait));
  }

  // ---- drawing

  draw() {
    if (!this.answer) return;
    const data = this.data = dataOf(this.answer, this.less, this.log);
    const jobs = count(data.ids.length, "job") + " with " + data.metric;
    this.tally.textContent = this.answer.shown < data.total
      ? `${number(this.answer.shown)} of ${number(data.total)} jobs with ${data.metric} shown (sampled evenly)` : jobs;
    this.legend.hidden = !data.ids.length;
    if (!data.ids.length) {
      this.data = null;
      return this.body.replaceChildren(this.noJob());
    }
    data.weights = weigh(data);
    this.drawLegend();
    const columns = shownColumns(data.weights), {metric, heat, parallel} = this.plots;
    const exact = this.best && this.best.less === data.less;
    const best = exact ? bestOfRows(this.best.rows, data, columns) : bestOf(data, columns);
    for (const plot of [metric, heat, parallel]) plot.update(data);
    heat.node.hidden = data.columns.length < 2;
    parallel.node.hidden = data.columns.length < 1;
    metric.node.hidden = data.columns.length + data.others.length < 1;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const pick = (name) => {
      metric.pick(name);
      metric.node.scrollIntoView({block: "nearest", behavior: still ? "auto" : "smooth"});
    };
    const top = el("div", {class: "split wide-left"}, leaderboardCard(data, columns, best, exact || !this.sampled()),
      importanceCard(data, data.weights, pick));
    const old = this.body.firstChild;
    if (this.body.contains(metric.node)) keeping(old, () => { old.replaceWith(top); return top; });
    else this.body.replaceChildren(top, el("div", {class: "split plot-pair"}, metric.node, heat.node), parallel.node);
  }

  noJob() {
    const clear = button("Clear the filter", () => {
      this.box.set("");
      this.filter = "";
      setQuery({filter: ""});
      this.load();
    });
    const words = `No job has the result ${this.metric}` + (this.filter ? " and matches the filter." : ".");
    return empty("No job to show", words, this.filter ? clear : null);
  }

  sampled() { return this.answer.shown < this.answer.total; }

  drawLegend() { 
    const {metric, less, range, min, max} = this.data;
    this.legend.replaceChildren(legend({name: metric, less, ...range, beyond: range.low > min || range.high < max}, isDark()));
  }
}
