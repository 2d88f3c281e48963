// In which order results are shown. Many scripts repeat their parameters in result.json: what they measured
// comes first.

/** The names of results that no parameter has, then the others. */
export function measuredFirst(results, parameters) {
  const known = new Set(parameters);
  return [...results.filter((name) => !known.has(name)), ...results.filter((name) => known.has(name))];
}

/** The result that is shown where nobody has said which, of `results` = [{name, n: jobs that have it}]: the
 * first measured one, without those that less than half as many jobs have as another. The most frequent one
 * would often be a constant, as runs that diverge have no number for what they are about. */
export function usualResult(results, parameters) {
  const own = new Set(parameters), measured = results.filter(({name}) => !own.has(name));
  const among = measured.length ? measured : results;
  const most = Math.max(...among.map(({n}) => n));
  return among.find(({n}) => 2 * n >= most)?.name || "";
}
