// Whether lower or higher values of a metric are better: as somebody chose, else as its name suggests.

const KEPT = "results.less";
// Whole words that mean "the more, the better", and parts of words that mean the opposite.
const MORE = "r2|accuracy|acc|score|reward|auc|f1|precision|recall|iou|map|bleu|psnr|ssim";
const LESS = "loss|err|rmse|mse|mae|mape|nll|time|seconds|duration|latency|perplexity|ppl|cost|regret"
  + "|distance|fid|wer|memory|bytes";
const MORE_IS_BETTER = new RegExp(`(^|[^a-z])(${MORE})([^a-z]|$)`);
const LESS_IS_BETTER = new RegExp(LESS);

/** Whether less of such a metric is better, judged by its name alone; undefined where that says nothing. */
export function nameSays(metric) {
  const words = metric.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  if (MORE_IS_BETTER.test(words)) return false;
  return LESS_IS_BETTER.test(words) || undefined;
}

/** The same, where one has to be taken: what says nothing counts as "the more, the better". */
export const nameSaysLess = (metric) => nameSays(metric) === true;

/** Whether less of a metric is better; undefined where nobody has chosen and the name says nothing. */
export function knownDirection(metric) {
  const chosen = kept()[metric];
  return typeof chosen === "boolean" ? chosen : nameSays(metric);
}

/** Whether less of a metric is better, where one has to be taken. */
export const lessIsBetter = (metric) => knownDirection(metric) === true;

/** Keep what somebody chose for a metric. */
export function chooseDirection(metric, less) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(Object.assign(kept(), {[metric]: less})));
  } catch (error) { /* storage is forbidden: the name decides */ }
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) || {};
  } catch (error) { return {}; }
}
