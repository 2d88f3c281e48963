// What can be done with the jobs of the leaderboard: with the ticked ones, or all that are shown, or one.

import {go, me} from "../../app.js";
import {at, button, dialog, el, menu, secret, toast} from "../../common.js";
import {csv} from "./csv.js";
import {plainName} from "./columns.js";
import {notebookCode} from "./notebook.js";

const MOST_COMPARED = 10;

/** {node, update(), row(id)} for a board as leaderboardCard has it: the buttons in its head, and the menu of
 * a row. `curves(metric)` gives the name of what a job reported of a metric, "" if none did;
 * `around(job id)` makes new jobs near one; `filter()` is that of the page. */
export function leaderActions(board, {curves, around, filter}) {
  const compare = button("Compare", () => go("/compare?ids=" + ids().join(",")), "small");
  const toCurves = button("Curves", () => openCurves(ids()), "small quiet");
  const table = button("CSV", save, "small quiet");
  const code = button("Notebook", openCode, "small quiet");
  const clear = button("Clear", () => board.clear(), "small quiet");
  const ticked = el("span", {class: "plot-n", "aria-live": "polite"});
  const node = el("div", {class: "leader-tools"}, ticked, compare, toCurves, table, code, clear);

  const rows = () => board.shown.rows.filter(({id}) => !board.ticked.size || board.ticked.has(id));
  const ids = () => rows().map(({id}) => id);
  const openCurves = (some) => go(`/curves?metric=${encodeURIComponent(curves(board.shown.metric))}&ids=`
    + some.join(","));

  /** Exactly the lines that are shown, or the ticked ones of them, with the columns that are shown. */
  function save() {
    const {metric, names} = board.shown, all = ["result." + metric, ...names].map(plainName);
    const twice = (name) => all.filter((one) => one === plainName(name)).length > 1;
    const heads = ["result." + metric, ...names].map((name) => (twice(name) ? name : plainName(name)));
    const lines = rows().map(({id, rank, status, value, given}) => [id, rank, status, value, ...given]);
    const text = csv([["id", "rank", "status", ...heads], ...lines]);
    const address = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
    el("a", {href: address, download: `${me ? me.expId : "jobs"}-leaderboard.csv`}).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
    toast(`${lines.length} lines are saved.`);
  }

  function openCode() {
    const text = notebookCode({...board.shown, experiment: me.expId, filter: filter(), top: board.view.top,
      server: me.hub ? "" : me.server_url || "", ids: board.ticked.size ? ids() : []});
    dialog({title: "The leaderboard in a notebook", content: [
      el("p", {class: "hint"}, "Paste it into a cell, on a machine where jd is installed."),
      secret(text, "the code", "notebook-code")]});
  }

  return {
    node,
    update() {
      const n = board.ticked.size;
      ticked.textContent = n ? `${n} ticked` : "";
      compare.hidden = clear.hidden = !n;
      compare.disabled = n < 2 || n > MOST_COMPARED;
      compare.title = compare.disabled ? `Tick 2 to ${MOST_COMPARED} jobs` : "";
      toCurves.hidden = !curves(board.shown.metric);
      toCurves.title = n ? "Curves of the ticked jobs" : "Curves of all jobs that are shown";
      code.title = "What is shown, as Python with jd.results";
      table.title = n ? "The ticked lines as CSV" : "The lines that are shown as CSV";
    },
    row(id) {
      const items = () => [
        ["Open", () => go("/jobs/" + id)],
        ["Open in a new tab", () => window.open(at("/jobs/" + id), "_blank", "noopener")],
        ...(curves(board.shown.metric) ? [["Curves", () => openCurves([id])]] : []),
        ["New jobs around here", () => around(id)]];
      return menu("⋯", items, {class: "small quiet", "aria-label": `Job ${id}: what to do`});
    },
  };
}
