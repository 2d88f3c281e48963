// What the Results page shows before there are results.

import {el, empty} from "../common.js";

const EXAMPLE = `import json, jd
with open("result.json", "w") as file:
    json.dump({"accuracy": 0.93, "loss": 0.21}, file)
jd.jd_upload("result.json")`;

/** How a job uploads results. */
export const noResults = () => empty("No results yet",
  "A job has results when it uploads a file named result.json or metrics.json with numbers by name. "
  + "They can be compared here as soon as the first one arrives.",
  el("pre",
    {class: "code results-example", tabindex: 0, "aria-label": "How a job uploads results, in Python"},
    EXAMPLE));
