// What the leaderboard shows as Python, to be pasted into a notebook. Pure functions.

const quoted = (text) => JSON.stringify(String(text));  // which Python reads as the same text

/** The code: the first `top` jobs of a filter, or those with `ids`; `metric`, `less`, `names` and `sort` are
 * as the leaderboard has them; `server` is its URL, "" where it is found at a Hub. */
export function notebookCode({experiment, server, filter, ids, metric, less, names, sort, top}) {
  const own = "result." + metric, down = sort.by === own ? sort.down : !less;
  const where = ids.length ? `[${ids.join(", ")}]` : filter ? quoted(filter) : "None";
  const elsewhere = server ? `  # on another machine: server=${quoted(server)}`
    : "  # with JD_HUB_URL and JD_API_KEY";
  const cell = (name) => {
    const [kind, plain] = [name.slice(0, name.indexOf(".")), name.slice(name.indexOf(".") + 1)];
    return `row.${kind === "param" ? "parameters" : "results"}.get(${quoted(plain)})`;
  };
  const plain = (name) => name.slice(name.indexOf(".") + 1);
  const all = ["result." + metric, ...names];
  const twice = (name) => all.filter((one) => plain(one) === plain(name)).length > 1;
  const head = (name) => quoted(twice(name) || ["id", "status"].includes(plain(name)) ? name : plain(name));
  const shown = ids.length ? "rows" : `rows[:${top}]`;
  return [
    "import math", "", "import jd", "",
    `jd.init(exp_id=${quoted(experiment)})${elsewhere}`,
    `rows = jd.results(${where}, metric=${quoted(metric)}, goal="${down ? "max" : "min"}")`,
    `rows = [row for row in rows if math.isfinite(row.results.get(${quoted(metric)}, math.nan))]`,
    ...(sort.by === own ? [] : sorting(cell(sort.by), sort)),
    "table = [",
    `    {"id": row["id"], "status": row["status"],`,
    ...all.map((name) => `     ${head(name)}: ${cell(name)},`),
    "     }",
    `    for row in ${shown}]`,
    "table  # or pandas.DataFrame(table)", ""].join("\n");
}

// Lines that sort by another value: those without it last, equal ones in the order of the metric.
function sorting(value, {by, down}) {
  const reverse = down ? ", reverse=True" : "";
  if (by.startsWith("result.")) {
    const known = value.replace(/\)$/, ", math.nan)");
    return [
      `rows.sort(key=lambda row: ${value} if math.isfinite(${known}) else 0${reverse})`,
      `rows.sort(key=lambda row: not math.isfinite(${known}))`];
  }
  return [
    "", "",
    "def place(value):",
    "    return (0, value) if isinstance(value, (int, float)) else (1, str(value))", "", "",
    `rows.sort(key=lambda row: place(${value})${reverse})`,
    `rows.sort(key=lambda row: ${value} is None)`];
}
