// Uploads and checkpoints of a job: what they are, a look into them, and the way to fetch them.

import {ask, button, el} from "../common.js";
import {bytes, when} from "../format.js";

const FOLD = 8;  // older versions beyond it wait behind a button

/** The list of a job's files; `show(files)` fills it and leaves an open preview open. */
export function fileList(jobId) {
  const list = el("ul", {class: "files"});
  const none = el("p", {class: "hint"}, "Nothing uploaded. A script sends files with ", el("code", {}, "jd_upload(path)"), ".");
  const zip = el("a", {class: "button small", href: `/web/job/zip?id=${jobId}`, download: ""}, "Download all");
  const node = el("div", {}, none, list);
  const rows = new Map();
  let all = false;
  return {
    node, zip,
    show(files) {
      none.hidden = files.length > 0;
      zip.hidden = files.length === 0;
      const shown = all ? files : files.slice(0, FOLD);
      for (const file of shown) if (!rows.has(file.id)) rows.set(file.id, row(file));
      const more = files.length - shown.length;
      const rest = more > 0 ? el("li", {class: "files-more"}, button(`Show ${more} more`, () => {
        all = true;
        this.show(files);
      }, "quiet")) : null;
      const wanted = [...shown.map((file) => rows.get(file.id)), ...(rest ? [rest] : [])];
      // Moving a node would close its preview and lose the focus; new files come at the top.
      wanted.forEach((one, at) => { if (list.children[at] !== one) list.insertBefore(one, list.children[at] || null); });
      while (list.children.length > wanted.length) list.lastChild.remove();
    },
  };
}

function row(file) {
  const id = "preview-" + file.id;
  const body = el("div", {class: "preview", id, hidden: true});
  let loaded = false;
  const look = file.preview ? el("button", {type: "button", class: "small quiet", "aria-expanded": "false", "aria-controls": id,
    onclick: async () => {
      body.hidden = !body.hidden;
      look.setAttribute("aria-expanded", String(!body.hidden));
      look.textContent = body.hidden ? "Preview" : "Close";
      if (body.hidden || loaded) return;
      loaded = true;
      body.replaceChildren(el("p", {class: "hint"}, "Loading…"));
      try {
        body.replaceChildren(...await content(file));
      } catch (error) {
        loaded = false;
        body.replaceChildren(el("p", {class: "problem"}, error.message));
      }
    }}, "Preview") : null;
  return el("li", {}, el("div", {class: "file"},
    el("span", {class: "file-name"}, file.stored_name),
    file.kind === "checkpoint" ? el("span", {class: "badge"}, "checkpoint") : null,
    el("span", {class: "file-facts hint"}, bytes(file.size_bytes), " · ", when(file.uploaded_at)),
    el("span", {class: "file-tools"}, look,
      el("a", {class: "button small quiet", href: "/web/job/file?id=" + file.id, download: file.stored_name}, "Download"))),
  body);
}

async function content(file) {
  if (file.preview === "image") {
    return [el("img", {src: "/web/job/image?id=" + file.id, alt: file.stored_name, loading: "lazy"})];
  }
  const answer = await ask("job/preview?id=" + file.id);
  const cut = answer.truncated ? [el("p", {class: "hint"}, "Only the beginning is shown; download it to see all.")] : [];
  if (answer.kind === "csv" && answer.rows && answer.rows.length) return [table(answer.rows), ...cut];
  return [el("pre", {class: "code", tabindex: 0}, answer.kind === "json" ? pretty(answer.text) : answer.text), ...cut];
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch (error) {
    return text;  // it is cut, or not JSON after all
  }
}

function table([heads, ...rows]) {
  return el("div", {class: "preview-table scroll", tabindex: 0, role: "region", "aria-label": "Table"}, el("table", {class: "data"},
    el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", {scope: "col"}, text)))),
    el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((text) => el("td", {}, text)))))));
}
