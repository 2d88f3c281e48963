// Looks for a page of jobs, and counts how many match. The server looks at a limited number of jobs for one
// answer, so what is rare takes several questions.

import {ask} from "../common.js";

const EXACT = ["parameters", "results"];

const query = (values) =>
  new URLSearchParams(Object.entries(values).filter(([, value]) => value != null && value !== ""));

/** {find(request, report), count(filter, report), stop(), close()}. A new call ends the one before it. */
export function jobSearch() {
  let finding = null, counting = null;

  /** Ask for a page of {filter, sort, after, size}. Gives {columns, jobs, next, total, scanned, stopped}, and
   * the same to `report` whenever more has been found; null when another question came between.
   * Throws Refused. */
  async function find({filter, sort, after, size}, report) {
    if (finding) finding.abort();
    const mine = finding = new AbortController();
    const page = {columns: null, jobs: [], next: after, total: null, scanned: 0, stopped: false};
    try {
      do {
        const limit = size - page.jobs.length;
        const wanted = query({filter, sort, after: page.next, limit});
        const answer = await ask("jobs?" + wanted, undefined, mine.signal, EXACT);
        page.columns = answer.columns;
        page.jobs = page.jobs.concat(answer.jobs);
        page.scanned += answer.scanned;
        page.next = answer.next;
        if (answer.total != null) page.total = answer.total;
        if (page.next !== null && page.jobs.length < size) report(page);
      } while (page.next !== null && page.jobs.length < size);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      if (finding !== mine || !page.columns) return null;
      page.stopped = true;
    }
    return finding === mine ? page : null;
  }

  /** Count what matches, step by step: report(n, whether that is all). */
  async function count(filter, report) {
    if (counting) counting.abort();
    const mine = counting = new AbortController();
    let after = null, n = 0;
    try {
      do {
        const answer = await ask("jobs/count?" + query({filter, after}), undefined, mine.signal);
        if (counting !== mine) return;
        n += Object.values(answer.matching).reduce((sum, one) => sum + one, 0);
        after = answer.next;
        report(n, after === null);
      } while (after !== null);
    } catch (error) { /* the table has said what is wrong, or nobody asks any more */ }
  }

  return {
    find, count,
    /** End the search; what it found so far is its answer. */
    stop() { if (finding) finding.abort(); },
    close() {
      for (const one of [finding, counting]) if (one) one.abort();
      finding = counting = null;
    },
  };
}
