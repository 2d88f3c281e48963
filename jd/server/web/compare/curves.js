// What the jobs reported while they ran, over each other: a small plot for each metric.

import {go} from "../app.js";
import {ask, el} from "../common.js";
import {colourOf, isDark} from "../charts/colours.js";
import {segments} from "../charts/controls.js";
import {ALONG} from "../charts/series.js";
import {smallCurves} from "../charts/smallcurves.js";

/** The card: {node, update(jobs), close()}, hidden while the jobs have reported nothing. */
export function comparedCurves() {
  const answers = new Map();  // of each job, what was told last
  const plots = smallCurves({open: (_, {key}) => go("/jobs/" + key)});
  const bar = el("div", {}), head = el("div", {class: "job-curves-bar"}, plots.search, bar);
  const node = el("section", {class: "card", "aria-label": "Curves", hidden: true},
    el("div", {class: "card-head"}, el("h2", {class: "grow"}, "Curves"), head),
    el("div", {class: "card-body"}, plots.node));
  let jobs = [], x = "step", asked = 0;
  const draw = () => {
    const named = new Map(), dark = isDark();
    jobs.forEach(({id, status}, place) => {
      const {metrics = [], started, running} = answers.get(id) || {};
      for (const one of metrics) {
        if (!named.has(one.name)) named.set(one.name, []);
        named.get(one.name).push({...one, id, key: id, label: "Job #" + id, colour: colourOf(place, dark),
          started, running, status});
      }
    });
    node.hidden = !named.size;
    const along = (chosen) => { x = chosen; draw(); };
    bar.replaceChildren(segments("Along", ALONG, x, along));
    plots.update(named, x);
  };
  document.addEventListener("theme", draw);

  async function get({id, status}) {
    const known = answers.get(id), same = known && known.running === (status === "SERVED");
    const query = new URLSearchParams({id, ...(same && {since: known.count})});
    const answer = await ask("job/curves?" + query);
    if (answer.metrics) answers.set(id, answer);  // otherwise there is nothing new
  }

  return {
    node,
    async update(next) {
      const mine = (asked += 1);
      await Promise.all(next.map(get));
      if (mine !== asked) return;
      jobs = next;
      draw();
    },
    close() {
      asked += 1;
      document.removeEventListener("theme", draw);
      plots.close();
    },
  };
}
