// The History page: the best so far, who ran what when, and what it has cost.

import {el} from "../common.js";
import {bestView} from "./best.js";
import {costView} from "./cost.js";
import {timelineView} from "./timeline.js";

// What a tab shows: its name in the address, its title, and what fills it: it gives {refresh(changes,
// previous), close()}.
const VIEWS = [["best", "Best so far", bestView], ["workers", "Timeline of workers", timelineView],
  ["cost", "Cost", costView]];

/** The page (see app.js). */
export async function show(main, params, query) {
  const [name, , fill] = VIEWS.find(([one]) => one === query.get("view")) || VIEWS[0];
  const tab = ([one, title]) => el("a", {href: "/history?view=" + one,
    "aria-current": one === name && "page"}, title);
  const body = el("div", {class: "history"});
  main.append(el("div", {class: "head"}, el("h1", {}, "History")),
    el("nav", {class: "tabs", "aria-label": "History"}, ...VIEWS.map(tab)), body);
  return fill(body, query);
}
