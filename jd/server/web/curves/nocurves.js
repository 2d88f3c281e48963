// What is shown where no job has reported anything yet: how to.

import {empty} from "../common.js";
import {examples} from "../examples.js";

const PYTHON = `import jd

for epoch in range(100):
    loss, accuracy = train(epoch)
    jd.jd_report(step=epoch, loss=loss, accuracy=accuracy)`;
const SHELL = `echo '{"step": 3, "loss": 0.41}' >> "$JD_METRICS"`;

/** How a job reports. */
export const noCurves = () => empty("No curves yet",
  "A job has curves when its script reports numbers while it runs: from Python with jd_report, from any "
  + "other language with a line of JSON at the end of the file that $JD_METRICS names. They show here as "
  + "they come, while the job still runs.",
  examples(["In Python", PYTHON], ["In any language", SHELL]));
