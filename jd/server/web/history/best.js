// The tab "Best so far": what each finished job gave, and the staircase of the best.

import {go, setQuery} from "../app.js";
import {numberAxis} from "../charts/axis.js";
import {check, choice, fillBar, segments} from "../charts/controls.js";
import {below, beside, roomFor, text} from "../charts/drawing.js";
import {jobLink, plot} from "../charts/plot.js";
import {pointing, tipLines} from "../charts/pointing.js";
import {ask, el, empty} from "../common.js";
import {chooseDirection, lessIsBetter} from "../direction.js";
import {filterBox} from "../filterbox.js";
import {duration, moment, number} from "../format.js";
import {measuredFirst, usualResult} from "../resultnames.js";
import {svg} from "../svg.js";
import {pacing} from "../pace.js";
import {along, corners, since, sinceWords, tally, upright} from "./stairs.js";
import {daysOf, timeMarks} from "../charts/timeaxis.js";

const WAYS = [["time", "By time"], ["jobs", "By jobs"], ["hours", "By compute hours"]];
const TITLES = {jobs: "finished jobs", hours: "compute hours of all attempts of these jobs"};
const REACH = 24;  // pixels from which a point is near

/** Fill a node with the view; gives {refresh, close}. */
export async function bestView(body, query) {
  const view = new BestView(body, query);
  await view.begin();
  return view;
}

class BestView {
  constructor(body, query) {
    this.body = body;
    this.metric = query.get("metric") || "";
    this.filter = query.get("filter") || "";
    this.how = WAYS.some(([name]) => name === query.get("x")) ? query.get("x") : "time";
    this.log = {0: false, 1: true}[query.get("log")];  // undefined: as the values suggest
    this.given = {0: false, 1: true}[query.get("less")];
    this.asked = 0;
    this.answer = null;
    this.pace = pacing(() => this.reload());
    this.plot = plot({title: "Best so far", name: "best", draw: (box, width) => this.draw(box, width),
      rows: () => this.rows()});
  }

  async begin() {
    await this.learnNames();
    if (!this.body.isConnected) return;  // the page was left: the address is that of another one
    if (!this.metrics.length) return this.body.append(this.nothing());
    this.frame();
    await this.pace.run(() => this.load());
  }

  close() {
    this.closed = true;
    this.asked += 1;
    this.pace.close();
    this.plot.close();
  }

  refresh(changes, previous) {
    if (previous && changes.files === previous.files && changes.jobs === previous.jobs) return;
    this.pace.again();
  }

  /** Load again, with the metrics that there are now. */
  async reload() {
    const had = this.metrics.length;
    await this.learnNames();
    if (this.closed || !this.metrics.length) return;
    if (had) this.tools();
    else this.frame();
    await this.load();
  }

  async learnNames() {
    const found = await ask("results/names"), own = found.parameters.map(({name}) => name);
    this.names = [...own, ...found.results.map(({name}) => name)];
    this.metrics = measuredFirst(found.results.map(({name}) => name), own);
    if (!this.metrics.includes(this.metric)) this.metric = usualResult(found.results, own);
  }

  // What the address says counts for the metric that it names, and is kept for no other.
  get less() { return this.given === undefined ? lessIsBetter(this.metric) : this.given; }

  // ---- the parts

  frame() {
    this.box = filterBox({value: this.filter, placeholder: "Filter: lr<0.01 opt=adam",
      onchange: (words) => { this.filter = words; this.change(); }});
    this.box.names(this.names);
    this.controls = el("div", {class: "history-controls"});
    this.tiles = el("div", {class: "tiles"});
    this.tally = el("p", {class: "hint", "aria-live": "polite"});
    this.missing = el("div", {hidden: true});
    this.plot.node.hidden = true;  // until there is an answer
    this.body.replaceChildren(el("div", {class: "toolbar history-tools"}, this.controls, this.box.node),
      this.tally, this.tiles, this.missing, this.plot.node);
    this.tools();
  }

  nothing() {
    return empty("No results yet", "The best so far shows when a job has left a result.json with numbers, "
      + "or has uploaded one.", el("a", {class: "button", href: "/results"}, "How results are made"));
  }

  tools() {
    const pick = (metric) => {
      Object.assign(this, {metric, log: undefined, given: undefined});
      this.change();
    };
    const way = (less) => {
      chooseDirection(this.metric, less);
      this.given = less;
      this.change();
    };
    fillBar(this.controls, [this.metrics, this.metric, this.less], () => [
      choice("Metric", this.metrics.map((name) => [name, name]), this.metric, pick),
      segments("Which values are better", [[true, "Lower is better"], [false, "Higher is better"]],
        this.less, way)]);
    const y = this.answer && this.answer.total ? upright(this.answer, this.less, this.log) : {};
    fillBar(this.plot.bar, [this.how, y.log, y.canLog], () => [
      segments("Along the axis", WAYS, this.how, (how) => { this.how = how; this.change(); }),
      check("Log scale", Boolean(y.log), (on) => { this.log = on; this.keep(); this.show(); }, !y.canLog)]);
  }

  /** Another question: the address follows, and it is asked. */
  change() {
    this.tools();
    this.pace.run(() => this.load());
  }

  // A link shows the same to another person, whose browser keeps other choices.
  keep() {
    setQuery({metric: this.metric, less: this.less ? "1" : "0", x: this.how === "time" ? "" : this.how,
      log: this.log === undefined ? "" : this.log ? "1" : "0", filter: this.filter});
  }

  async load() {
    const mine = (this.asked += 1), spent = this.how === "hours" ? "1" : "0";
    this.keep();
    this.body.setAttribute("aria-busy", "true");
    try {
      const found = await ask("history/best?" + new URLSearchParams(
        {metric: this.metric, filter: this.filter, less: this.less ? "1" : "0", spent}));
      if (mine !== this.asked) return;
      Object.assign(found, {how: this.how, less: this.less});
      this.box.say("");
      // Who reads a tip keeps it while nothing is new.
      if (this.told === JSON.stringify(found)) return;
      this.told = JSON.stringify(found);
      this.answer = found;
      this.show();
    } catch (error) {
      if (mine !== this.asked) return;
      if (error.status === 400) this.box.say(error.message, true);
      else this.tally.textContent = error.message;
    } finally {
      if (mine === this.asked) this.body.removeAttribute("aria-busy");
    }
  }

  // ---- what is shown

  show() {
    const {answer} = this;
    this.tools();
    this.tally.textContent = tally(answer);
    this.tiles.hidden = this.plot.node.hidden = !answer.total;
    this.missing.hidden = Boolean(answer.total);
    if (!answer.total) {
      const also = this.filter ? ` No finished job that matches the filter has ${this.metric}.` : "";
      this.missing.replaceChildren(
        empty("No finished job to show", `No job with ${this.metric} has finished.${also}`));
      return;
    }
    this.plot.name(`Best so far: ${this.metric}`);
    this.plot.say(sinceWords(answer) + this.beyond());
    this.tiles.replaceChildren(...this.figures());
    this.plot.redraw();
  }

  figures() {
    const {ids, values, best, improvements} = this.answer, last = best[best.length - 1];
    const {jobs, seconds} = since(this.answer);
    const tile = (value, ...words) =>
      el("div", {class: "tile"}, el("b", {}, value), el("span", {}, ...words));
    return [tile(text(values[last]), "best so far, ", jobLink(ids[last])),
      tile(number(improvements), improvements === 1 ? "improvement" : "improvements"),
      tile(number(jobs), jobs === 1 ? "job since the last one" : "jobs since the last one"),
      tile(duration(seconds), "from it to the last job")];
  }

  beyond() {
    const {low, high} = upright(this.answer, this.less, this.log);
    const out = this.answer.values.filter((value) => value < low || value > high).length;
    return out ? `. ${number(out)} beyond the axis ${out === 1 ? "is" : "are"} drawn at its edge` : "";
  }

  draw(box, width) {
    const {answer, less} = this, line = along(answer, answer.how);
    const range = upright(answer, less, this.log), y = numberAxis(range.low, range.high, range.log);
    const height = Math.max(260, Math.min(420, width * 0.4)), top = 26, bottom = 46, right = 14;
    const left = roomFor(y, height);
    const area = {left, top, width: width - left - right, height: height - top - bottom};
    const x = numberAxis(line.low, line.high, false);
    const clamp = (place) => Math.max(0, Math.min(1, place));
    const xs = line.values.map((value) => left + clamp(x.at(value)) * area.width);
    const ys = answer.values.map((value) => {
      const place = y.at(value);
      return top + 4 + (1 - clamp(Number.isNaN(place) ? 0 : place)) * (area.height - 8);
    });
    const end = left + clamp(x.at(line.high)) * area.width;
    const improved = new Set(answer.best), dot = (at) => `M${xs[at].toFixed(1)} ${ys[at].toFixed(1)}h0`;
    const stairs = corners(xs, ys, answer.best, end)
      .map(([px, py], index) => (index ? "L" : "M") + px.toFixed(1) + " " + py.toFixed(1)).join("");
    const ring = svg("circle", {class: "ring", r: 7, visibility: "hidden"});
    const surface = svg("svg", {class: "surface", width, height, tabindex: 0, role: "application",
      "aria-label": `${answer.metric} of ${number(answer.total)} jobs in the order of their ends. `
        + "Arrow keys go along the improvements, Enter opens the job."},
    svg("path", {class: "dots", d: answer.ids.map((_, at) => (improved.has(at) ? "" : dot(at))).join("")}),
    svg("path", {class: "stairs-edge", d: stairs}), svg("path", {class: "stairs", d: stairs}),
    svg("path", {class: "steps", d: answer.best.map(dot).join("")}), ring);
    box.append(svg("svg", {width, height, "aria-hidden": "true"},
      this.underneath(line, x, area),
      beside(y, {...area, top: top + 4, height: area.height - 8,
        title: answer.metric + (range.log ? " (log scale)" : "")})), surface);
    pointing(surface, box, {ring, near: nearest(xs, ys), place: (at) => [xs[at], ys[at]],
      name: (at) => answer.ids[at], tell: (at) => this.tell(at),
      open: (at) => go("/jobs/" + answer.ids[at]), order: () => answer.best});
  }

  underneath(line, x, area) {
    const {how} = this.answer;
    if (how !== "time") return below(x, {...area, title: TITLES[how]});
    const {low, high} = x, {left, top, width, height} = area;
    const marks = timeMarks(low, high, Math.max(2, Math.floor(width / 90))).flatMap(({at, text: words}) => {
      const px = left + x.at(at) * width;
      return [svg("line", {class: "grid", x1: px, x2: px, y1: top, y2: top + height}),
        svg("text", {class: "tick", x: px, y: top + height + 17, "text-anchor": "middle"}, words)];
    });
    return svg("g", {class: "axis"}, ...marks, svg("text", {class: "title", x: left + width / 2,
      y: top + height + 37, "text-anchor": "middle"}, "finished, " + daysOf(low, high)));
  }

  tell(at) {
    const {answer} = this, best = answer.best.filter((one) => one <= at).pop();
    const lines = [[answer.metric, text(answer.values[at])], ["finished", moment(answer.at[at])],
      ["finished job", "no. " + number(answer.place[at])]];
    if (answer.spent) lines.push(["compute hours", text(answer.spent[at] / 3600)]);
    lines.push(best === at ? ["", "the best so far"] : ["best then", text(answer.values[best])]);
    return tipLines("Job #" + answer.ids[at], lines);
  }

  // The improvements first, then the others, each the latest first.
  rows() {
    const {answer} = this, improved = new Set(answer.best);
    const others = answer.ids.map((_, at) => at).filter((at) => !improved.has(at));
    const hours = answer.spent ? [(at) => answer.spent[at] / 3600] : [];
    const cells = [(at) => jobLink(answer.ids[at]), (at) => answer.values[at],
      (at) => (improved.has(at) ? "yes" : ""), (at) => moment(answer.at[at]), (at) => answer.place[at],
      ...hours];
    const rows = [...[...answer.best].reverse(), ...others.reverse()]
      .map((at) => cells.map((cell) => cell(at)));
    return {heads: ["Job", answer.metric, "Best so far", "Finished", "Of the finished jobs no.",
      ...(hours.length ? ["Compute hours until then"] : [])], rows, total: answer.total};
  }
}

const nearest = (xs, ys) => (x, y) => {
  let found = -1, least = REACH * REACH;
  xs.forEach((px, at) => {
    const far = (px - x) * (px - x) + (ys[at] - y) * (ys[at] - y);
    if (far > least) return;
    least = far;
    found = at;
  });
  return found;
};
