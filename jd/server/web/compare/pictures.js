// Pictures of the same name beside each other.

import {el} from "../common.js";

const MOST = 12;  // names that are shown

/** A card with a row for each picture that the jobs have; null where there is none. */
export function pictures(jobs) {
  const names = new Map();
  for (const job of jobs) {
    for (const file of job.files) {
      if (file.preview !== "image" || file.state !== "latest") continue;
      if (!names.has(file.path)) names.set(file.path, new Map());
      if (!names.get(file.path).has(job.id)) names.get(file.path).set(job.id, file);
    }
  }
  if (!names.size) return null;
  const shared = [...names].sort(([, a], [, b]) => b.size - a.size).slice(0, MOST);
  const left = names.size - shared.length;
  return el("section", {class: "card", "aria-label": "Pictures"},
    el("div", {class: "card-head"}, el("h2", {}, "Pictures")),
    el("div", {class: "card-body"}, ...shared.map(([name, files]) => row(name, files, jobs)),
      left ? el("p", {class: "hint"}, `${left} more are on the pages of the jobs.`) : null));
}

function row(name, files, jobs) {
  const one = (job) => {
    const file = files.get(job.id);
    return el("figure", {},
      file ? el("a", {href: "/web/job/image?id=" + file.id, target: "_blank", rel: "noopener"},
        el("img", {src: "/web/job/image?id=" + file.id, alt: `${name} of job ${job.id}`, loading: "lazy"}))
        : el("span", {class: "none compare-missing"}, "none"),
      el("figcaption", {}, el("a", {href: "/jobs/" + job.id}, "#" + job.id)));
  };
  return el("div", {class: "compare-pictures"}, el("h3", {}, name),
    el("div", {class: "compare-strip", tabindex: 0, role: "region", "aria-label": name}, ...jobs.map(one)));
}
