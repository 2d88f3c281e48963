// The page Compare: two to ten jobs beside each other.

import {setQuery, setTitle} from "../app.js";
import {ask, el, empty, fail, field} from "../common.js";
import {breakable, count, duration, metric as figure, status, value as shown, when} from "../format.js";
import {pacing} from "../pace.js";
import {measuredFirst} from "../resultnames.js";
import {keeping} from "../charts/controls.js";
import {comparedCurves} from "./curves.js";
import {best, idsIn, rows} from "./differences.js";
import {directionsIn} from "./directions.js";
import {pictures} from "./pictures.js";

const MOST = 10;

/** The page (see app.js): `ids` of its address are the jobs. */
export async function show(main, _params, query) {
  const page = new ComparePage(main, query);
  await page.pace.run();
  return page;
}

class ComparePage {
  constructor(main, query) {
    const given = idsIn(query.get("ids") || "") || [];
    this.ids = given.slice(0, MOST);
    this.left = given.length - this.ids.length;  // jobs that the address names and the page does not show
    this.loads = 0;
    this.jobs = [];
    this.drawn = "";
    this.open = new Set();  // titles of the sections whose equal rows are shown
    this.directions = directionsIn(query);
    this.curves = comparedCurves();
    this.pace = pacing(() => this.load());
    this.title = el("h1", {}, "Compare jobs");
    this.more = field("Add jobs", {placeholder: "numbers, such as 3, 17", inputmode: "numeric"});
    const add = el("form", {class: "compare-add", novalidate: true, onsubmit: (event) => this.add(event)},
      this.more.node, el("button", {}, "Add"));
    this.body = el("div", {class: "compare"});
    main.append(el("div", {class: "head"}, this.title, el("span", {class: "grow"}), add), this.body);
  }

  async refresh(changes, previous) {
    if (["jobs", "files"].some((topic) => changes[topic] !== previous[topic])) this.pace.again();
    else if (changes.reports !== previous.reports) await this.curves.update(this.jobs);
  }

  close() {
    this.loads += 1;
    this.pace.close();
    this.curves.close();
  }

  async add(event) {
    event.preventDefault();
    const given = idsIn(this.more.input.value);
    if (!given || !given.length) return this.more.say("Give numbers of jobs, such as 3, 17.", "bad");
    const wanted = [...new Set([...this.ids, ...given])];
    if (wanted.length > MOST) return this.more.say(`At most ${MOST} jobs stand beside each other.`, "bad");
    const before = this.ids;
    let wrong;
    try {
      this.ids = wanted;
      const missing = await this.load();
      wrong = lacking(missing);
    } catch (error) {
      wrong = error.message;
    }
    this.more.say(wrong, "bad");
    if (wrong) {
      this.ids = before;
      return this.load();
    }
    this.more.input.value = "";
    this.keep();
  }

  remove(id) {
    this.ids = this.ids.filter((one) => one !== id);
    this.keep();
    return this.load().catch(fail);
  }

  keep() { setQuery({ids: this.ids.join(",")}, true); }

  /** Load the jobs and show them. Gives the ids of those that do not exist. */
  async load() {
    const mine = (this.loads += 1);
    const found = await Promise.all(this.ids.map(async (id) => {
      try {
        return await ask("job?id=" + id, undefined, undefined, ["parameters", "results"]);
      } catch (error) {
        if (error.status !== 404) throw error;
        return null;
      }
    }));
    const missing = this.ids.filter((_, place) => !found[place]);
    if (mine !== this.loads || !this.body.isConnected) return missing;
    this.jobs = found.filter(Boolean);
    // Who reads keeps the focus and the place while nothing is new.
    const told = JSON.stringify([this.jobs, missing]);
    this.missing = missing;
    if (told !== this.drawn) keeping(this.body, () => this.draw());
    this.drawn = told;
    this.curves.update(this.jobs).catch((error) => console.warn(error));
    return missing;
  }

  draw() {
    const {missing} = this;
    setTitle("Compare " + this.jobs.map((job) => job.id).join(", "));
    const one = this.jobs.length === 1;
    this.title.textContent = one ? "Compare job " + this.jobs[0].id
      : this.jobs.length ? "Compare " + count(this.jobs.length, "job") : "Compare jobs";
    const lacks = [lacking(missing),
      this.left > 0 ? `Only the first ${MOST} of the jobs in the address are shown.` : "",
      one && !missing.length ? "Give the numbers of jobs that are to stand beside it." : ""].filter(Boolean);
    const gone = lacks.length ? el("p", {class: "banner", role: "status"}, lacks.join(" ")) : null;
    if (!this.jobs.length) {
      this.body.replaceChildren(...[gone, empty("No jobs to compare",
        "Tick two to ten jobs in the table and choose Compare, or give their numbers above.",
        el("a", {class: "button primary", href: "/jobs"}, "Go to the jobs"))].filter(Boolean));
      return;
    }
    const own = [...new Set(this.jobs.flatMap((job) => Object.keys(job.parameters)))];
    const results = this.jobs.map((job) => job.results || {});
    const names = measuredFirst([...new Set(results.flatMap((one) => Object.keys(one)))], own);
    const measured = (name) => !own.includes(name.replace(/\.(min|max)$/, ""));
    setQuery(this.directions.query(names.filter(measured)));
    const parts = [
      this.section("Parameters", rows(this.jobs.map((job) => job.parameters))),
      this.section("Results", rows(results, names), (row) => this.better(row, measured(row.name)), figure),
      this.section("How they ran", rows(this.jobs.map(running), RUNNING)),
      this.section("Code", rows(this.jobs.map(code))),
    ];
    this.body.replaceChildren(...[gone, this.table(parts.filter(Boolean)), this.curves.node,
      pictures(this.jobs)].filter(Boolean));
  }

  table(parts) {
    const head = (job) => el("th", {scope: "col"},
      el("span", {class: "compare-job"}, el("a", {href: "/jobs/" + job.id}, "#" + job.id),
        this.jobs.length > 1 ? el("button", {type: "button", class: "small quiet",
          "aria-label": `Leave job ${job.id} out`, title: "Leave out",
          onclick: () => this.remove(job.id)}, "×") : null),
      status(job.status, job.retry_at));
    return el("section", {class: "card", "aria-label": "Jobs"},
      el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Jobs beside each other"},
        el("table", {class: "data compare-table"},
          el("thead", {}, el("tr", {}, el("td", {}, el("span", {class: "sr"}, "What")),
            ...this.jobs.map(head))),
          ...parts)));
  }

  /** The places of the best values of a result, and the button that has others be better: {places, turn}. */
  better({name, values}, measured) {
    const less = this.directions.less(name), places = best(values, less !== false);
    if (!measured || !places.size) return {places: new Set(), turn: null};
    const words = less === undefined ? "Not known which values are better"
      : `${less ? "Lower" : "Higher"} is better`;
    const turn = el("button", {type: "button", class: "small quiet compare-turn", title: words + " (change)",
      "aria-label": `${name}: ${words.toLowerCase()}, change`,
      onclick: () => {
        this.directions.turn(name);
        keeping(this.body, () => this.draw());
      }}, less === undefined ? "better?" : less ? "↓ better" : "↑ better");
    return {places: less === undefined ? new Set() : places, turn};
  }

  /** A part of the table: rows that differ, and those that do not behind a button. `better` gives the places
   * of the best values of a row and a button behind its name, `words` a value as text. */
  section(title, all, better, words = shown) {
    if (!all.length) return null;
    const same = all.filter((row) => row.same), alone = this.jobs.length < 2;
    const folded = el("tbody", {hidden: !alone && !this.open.has(title)});
    const say = () => `${count(same.length, "line")} alike ${folded.hidden ? "▸" : "▾"}`;
    const fold = el("button", {type: "button", class: "small quiet", "aria-expanded": String(!folded.hidden),
      onclick: () => {
        folded.hidden = !folded.hidden;
        this.open[folded.hidden ? "delete" : "add"](title);
        fold.textContent = say();
        fold.setAttribute("aria-expanded", String(!folded.hidden));
      }}, say());
    const line = (row) => this.line(row, better ? better(row) : {places: new Set(), turn: null}, words);
    folded.append(...same.map(line));
    const made = document.createDocumentFragment();
    made.append(el("tbody", {}, el("tr", {class: "compare-title"},
      el("th", {scope: "rowgroup", colspan: this.jobs.length + 1},
        el("span", {}, title, same.length && !alone ? fold : null))),
    ...all.filter((row) => !row.same).map(line)), folded);
    return made;
  }

  line(row, {places: marked, turn}, words) {
    const cell = (one, place) => (one === undefined ? el("td", {}, el("span", {class: "none"}, "–"))
      : el("td", {class: marked.has(place) ? "mono best" : "mono", title: shown(one)},
        marked.has(place) ? el("span", {class: "best-mark", title: "Best of these jobs"}, "★ ") : null,
        words(one)));
    return el("tr", {class: row.same ? "same" : false},
      el("th", {scope: "row"}, ...breakable(row.name), turn && " ", turn),
      ...row.values.map(cell));
  }
}

const lacking = (ids) => (ids.length > 1 ? `There are no jobs ${ids.join(", ")}.`
  : ids.length ? `There is no job ${ids[0]}.` : "");

const RUNNING = ["ended as", "message", "ran", "attempts", "worker", "started", "ended", "tags"];

// What is told of how a job ran, without what it has not. The message of one that is done is about its files.
function running(job) {
  const latest = job.attempts[0] || {};
  const exit = latest.exit_code ? ` (exit status ${latest.exit_code})` : "";
  const told = {
    "ended as": latest.verdict && latest.verdict + exit,
    message: latest.verdict === "done" ? null : latest.error || latest.message,
    ran: job.runtime == null ? null : duration(job.runtime), attempts: job.attempt || null,
    worker: job.worker_id, started: job.started && when(job.started).textContent,
    ended: job.finished && when(job.finished).textContent, tags: job.tags && job.tags.join(" "),
  };
  return Object.fromEntries(Object.entries(told).filter(([, one]) => one != null && one !== ""));
}

// Which code the latest attempt ran, with the versions of what it imported.
function code(job) {
  const known = job.attempts[0] && job.attempts[0].code;
  if (!known) return {};
  const changed = known.clean === false ? " with changes" : "";
  const told = {version: known.code, script: known.script, commit: known.commit && known.commit + changed,
    snapshot: known.snapshot, interpreter: [known.interpreter, known.version].filter(Boolean).join(" "),
    "hash of the script": known.hash, ...known.distributions};
  return Object.fromEntries(Object.entries(told).filter(([, one]) => one));
}
