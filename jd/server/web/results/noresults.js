// What the Results page shows before there are results.

import {empty} from "../common.js";
import {examples} from "../examples.js";

const EXAMPLE = `import json, jd
with open(jd.jd_job_dir() / "result.json", "w") as file:
    json.dump({"accuracy": 0.93, "loss": 0.21}, file)`;

/** How a job gets results. */
export const noResults = () => empty("No results yet",
  "A job has results when it leaves a file named result.json or metrics.json, with numbers by name, in its "
  + "directory. They can be compared here as soon as the first one arrives. Scripts that only print "
  + "have results with workers started with results_from=stdout.",
  examples(["In Python", EXAMPLE]));
