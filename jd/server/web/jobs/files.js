// Uploads and checkpoints of a job: a list, a preview of each, and links to download them.

import {ask, button, el} from "../common.js";
import {parse, stringify} from "../exactjson.js";
import {bytes, when} from "../format.js";

const FOLD = 8;  // files that are shown at once; older ones wait behind a button

/** The list of a job's files; `show(files)` fills it and leaves an open preview open. */
export function fileList(jobId) {
  const list = el("ul", {class: "files"});
  const none = el("p", {class: "hint"},
    "Nothing uploaded. Workers send ", el("code", {}, "result.json"), " and what ",
    el("code", {}, "collect="), " names, a script sends files with ", el("code", {}, "jd_upload(path)"), ".");
  const zip = el("a",
    {class: "button small", href: `/web/job/zip?id=${jobId}`, download: ""}, "Download all");
  const node = el("div", {}, none, list);
  const rows = new Map();
  let all = false;
  return {
    node, zip,
    show(files) {
      none.hidden = files.length > 0;
      zip.hidden = files.length === 0;
      const shown = all ? files : files.slice(0, FOLD);
      for (const file of shown) {
        if (!rows.has(file.id)) rows.set(file.id, row(file));
        mark(rows.get(file.id), file.state);
      }
      const more = files.length - shown.length, wanted = shown.map((file) => rows.get(file.id));
      if (more > 0) {
        const rest = button(`Show ${more} more`, () => { all = true; this.show(files); }, "quiet");
        wanted.push(el("li", {class: "files-more"}, rest));
      }
      // Moving a node would close its preview and lose the focus; new files come at the top.
      wanted.forEach((one, at) => {
        const there = list.children[at];
        if (there !== one) list.insertBefore(one, there || null);
      });
      while (list.children.length > wanted.length) list.lastChild.remove();
    },
  };
}

const STATES = {
  earlier: ["earlier version", "A newer file of this name has been uploaded since"],
  "set aside": ["before from scratch", "Kept to be looked at: the job has begun from scratch since"]};

// What a file is among those of its job changes while its row, with an open preview, stays.
function mark(node, state) {
  const badge = node.querySelector("[data-state]"), [text, title] = STATES[state] || ["", ""];
  badge.hidden = !text;
  badge.textContent = text;
  badge.title = title;
}

function row(file) {
  const id = "preview-" + file.id;
  const body = el("div", {class: "preview", id, hidden: true});
  let loaded = false;
  const turn = async () => {
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
  };
  const look = el("button", {type: "button", class: "small quiet", "aria-expanded": "false",
    "aria-controls": id, onclick: turn}, "Preview");
  const download = el("a", {class: "button small quiet", href: "/web/job/file?id=" + file.id,
    download: file.path.split("/").pop()}, "Download");
  const line = el("div", {class: "file"},
    el("span", {class: "file-name"}, file.path),
    file.kind === "checkpoint" ? el("span", {class: "badge"}, "checkpoint") : null,
    el("span", {class: "badge", "data-state": true}),
    el("span", {class: "file-facts hint"},
      file.attempt ? `attempt ${file.attempt} · ` : "", bytes(file.size_bytes),
      " · ", when(file.uploaded_at)),
    el("span", {class: "file-tools"}, file.preview ? look : null, download));
  return el("li", {}, line, body);
}

async function content(file) {
  if (file.preview === "image") {
    return [picture(file)];
  }
  const answer = await ask("job/preview?id=" + file.id);
  const cut = answer.truncated
    ? [el("p", {class: "hint"}, "Only the beginning is shown; download it to see all.")] : [];
  if (answer.kind === "csv" && answer.rows && answer.rows.length) return [table(answer.rows), ...cut];
  const text = answer.kind === "json" ? pretty(answer.text) : answer.text;
  return [el("pre", {class: "code", tabindex: 0}, text), ...cut];
}

// A picture; where it cannot be loaded, a button that tries again stands in its place.
function picture(file) {
  const image = el("img", {src: "/web/job/image?id=" + file.id, alt: file.path, loading: "lazy",
    onerror: () => image.replaceWith(problem)});
  const again = button("Try again", () => problem.replaceWith(picture(file)), "small");
  const problem = el("p", {class: "problem"}, "The picture could not be loaded. ", again);
  return image;
}

function pretty(text) {
  try {
    return stringify(parse(text), "  ");
  } catch (error) {
    return text;  // it is cut, or not JSON after all
  }
}

function table([heads, ...rows]) {
  const box = {class: "preview-table scroll", tabindex: 0, role: "region", "aria-label": "Table"};
  const line = (cells) => el("tr", {}, ...cells.map((text) => el("td", {}, text)));
  return el("div", box, el("table", {class: "data"},
    el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", {scope: "col"}, text)))),
    el("tbody", {}, ...rows.map(line))));
}
