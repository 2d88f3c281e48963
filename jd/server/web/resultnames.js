// In which order results are shown. Many scripts repeat their parameters in result.json: what they measured
// comes first.

/** The names of results that no parameter has, then the others. */
export function measuredFirst(results, parameters) {
  const known = new Set(parameters);
  return [...results.filter((name) => !known.has(name)), ...results.filter((name) => known.has(name))];
}
