// The tab "Cost": hours of the clock, of CPUs and of GPUs, by what they went into.

import {setQuery} from "../app.js";
import {keeping, segments} from "../charts/controls.js";
import {ask, el, empty} from "../common.js";
import {count, number, percent} from "../format.js";
import {svg} from "../svg.js";
import {hours, totals, unknownWords, wastedWords} from "./costwords.js";
import {KINDS, NAMES, kindLegend, patterns} from "./kinds.js";
import {pacing} from "../pace.js";

const WAYS = [["sweep", "By sweep"], ["tag", "By tag"], ["host", "By host"], ["user", "By user"]];
const HEADS = {sweep: "Sweep", tag: "Tag", host: "Host", user: "User"};
const NONE = {sweep: "from before sweeps were kept", tag: "no tag", host: "no host", user: "no user"};
const WIDE = 120, HIGH = 10;

/** Fill a node with the view; gives {refresh, close}. */
export async function costView(body, query) {
  let by = WAYS.some(([name]) => name === query.get("by")) ? query.get("by") : "sweep";
  let asked = 0, told = "";
  const said = el("p", {class: "hint", "aria-live": "polite"});
  const tiles = el("div", {class: "tiles"}), card = el("section", {class: "card", "aria-label": "Cost"});
  const pace = pacing(load);
  body.append(tiles, said, card);

  async function load() {
    const mine = (asked += 1);
    try {
      const found = await ask("history/cost?by=" + by);
      if (mine !== asked || told === JSON.stringify(found)) return;
      told = JSON.stringify(found);
      show(found);
    } catch (error) {
      if (mine === asked) said.textContent = error.message;
    }
  }

  function choose(name) {
    by = name;
    setQuery({by: name === "sweep" ? "" : name});
    pace.run();
  }

  function show(found) {
    const {total, kinds} = found;
    tiles.hidden = !found.rows.length;
    card.classList.toggle("card", found.rows.length > 0);
    if (!found.rows.length) {
      said.textContent = "";
      card.replaceChildren(empty("Nothing has run yet", "What a sweep costs shows when workers run jobs."));
      return;
    }
    tiles.replaceChildren(...figures(total));
    said.textContent = [wastedWords(total, kinds), unknownWords(total)].filter(Boolean).join(". ") + ".";
    const ways = WAYS.filter(([name]) => name !== "user" || found.users);
    keeping(card, () => card.replaceChildren(
      el("div", {class: "card-head"}, el("h2", {}, "Hours"), segments("Rows", ways, by, choose),
        el("span", {class: "grow"}),
        el("a", {class: "button", href: "/web/history/cost.csv?by=" + by, download: ""}, "Export CSV")),
      el("div", {class: "card-body"}, kindLegend(KINDS.filter((_, place) => total.attempts[place]))),
      table(found, by)));
  }

  await pace.run();
  return {
    refresh(changes, previous) {
      if (!previous || changes.jobs !== previous.jobs || changes.workers !== previous.workers) pace.again();
    },
    close() {
      asked += 1;
      pace.close();
    },
  };
}

function figures(total) {
  const all = totals(total), tile = (value, words) =>
    el("div", {class: "tile"}, el("b", {}, value), el("span", {}, words));
  const known = (value, unknown) => (unknown >= all.wall && !value ? "–" : hours(value));
  return [tile(hours(all.wall), "hours of attempts"), tile(known(all.cpu, total.no_cpus), "CPU hours"),
    tile(known(all.gpu, total.no_gpus), "GPU hours"),
    tile(total.wasted === null ? "–" : percent(total.wasted), "failed, lost or given back")];
}

function table(found, by) {
  const most = Math.max(...found.rows.map((row) => totals(row.hours).wall));
  const places = found.kinds.map((_, place) => place).filter((place) => found.total.attempts[place]);
  const heads = [HEADS[by], "Attempts", "Hours", "went into",
    ...places.map((place) => NAMES[found.kinds[place]]), "CPU hours", "GPU hours", "Wasted"];
  const numeric = new Set(heads.map((_, place) => place).filter((place) => place && place !== 3));
  const cells = (name, one, scale) => {
    const all = totals(one), whole = (value, unknown) => (unknown > 0 && !value ? "–" : hours(value));
    return [name, number(one.attempts.reduce((sum, n) => sum + n, 0)), hours(all.wall),
      scale ? bar(one, found.kinds, scale) : "", ...places.map((place) => hours(one.wall[place])),
      whole(all.cpu, one.no_cpus), whole(all.gpu, one.no_gpus),
      one.wasted === null ? "–" : percent(one.wasted)];
  };
  const line = (all, kind) => el("tr", {class: kind || false}, ...all.map((content, place) =>
    el("td", {"data-label": heads[place], class: numeric.has(place) ? "num" : place ? false : "cost-name"},
      content)));
  const rows = found.rows.map((row) => line(cells(nameOf(row, by), row.hours, most)));
  if (found.rest) {
    const others = count(found.rest, "other") + ": the CSV has all";
    rows.push(line(cells(others, found.others, 0)));
  }
  const sum = by === "tag" ? "All, each attempt once" : "All";
  rows.push(line(cells(sum, found.total, 0), "cost-sum"));
  return el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Hours"},
    el("table", {class: "data as-cards"},
      el("thead", {}, el("tr", {}, ...heads.map((words, place) =>
        el("th", {scope: "col", class: numeric.has(place) ? "num" : false}, words)))),
      el("tbody", {}, ...rows)));
}

// The name of a row, as a link to its jobs where a filter finds them.
function nameOf({name, first, last, file}, by) {
  if (name === null) return NONE[by];
  if (by === "user") return name;
  const quoted = /^[\w.-]+$/.test(name) ? name : JSON.stringify(name);
  const filter = by === "sweep" ? `id>=${name} id<=${last}` : `${by}=${quoted}`;
  const jobs = Number(name) === last ? `Job ${number(last)}` : `Jobs ${number(Number(name))}–${number(last)}`;
  const link = el("a", {href: "/jobs?filter=" + encodeURIComponent(filter)}, by === "sweep" ? jobs : name);
  return file ? el("span", {}, link, " · " + file) : link;
}

// The hours of a row, by what they went into, as long as the row has hours.
function bar({wall}, kinds, most) {
  const {defs, fill} = patterns();
  let x = 0;
  const parts = kinds.map((kind, place) => {
    const from = x, width = most ? (wall[place] / most) * WIDE : 0;
    x += width;
    return width > 0 && svg("rect",
      {x: from.toFixed(2), width: Math.max(0.5, width).toFixed(2), height: HIGH, fill: fill(kind)});
  });
  const told = kinds.map((kind, place) => [kind, wall[place]]).filter(([, n]) => n > 0)
    .map(([kind, n]) => `${NAMES[kind]} ${hours(n)} h`).join(", ");
  return svg("svg", {class: "cost-bar", width: WIDE, height: HIGH, role: "img", "aria-label": told},
    svg("title", {}, told), defs, ...parts.filter(Boolean));
}
