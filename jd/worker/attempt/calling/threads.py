"""`threads=`: with how many threads the numerical libraries of a script calculate.

Each of them takes all CPUs that it sees, so the jobs of several workers would get in each other's way. Where
the environment of the launch says nothing, they share what may be used; several launches on one machine do
not know of each other.
"""

from typing import Dict, Mapping, NamedTuple, Optional

INHERIT = "inherit"
OPENMP = "OMP_NUM_THREADS"  # where they have no variable of their own, the others read this one
NUMEXPR = "NUMEXPR_NUM_THREADS"
VARIABLES = (OPENMP, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", NUMEXPR)
_NUMEXPR_LIMIT = "NUMEXPR_MAX_THREADS"  # numexpr refuses to use more: who sets it has decided


class Share(NamedTuple):
    """The variables that each job gets, and what is said of it in a line."""

    variables: Dict[str, str]
    told: str


def share(threads: str, workers: Optional[int], cpus: float, environ: Mapping[str, str]) -> Share:
    """What `threads=` ("" where nobody gave it) means for each of so many workers with so many CPUs.

    `workers` is None where that is not known, for what can be said all the same.
    """
    if threads == INHERIT:
        return Share({}, "threads: as the environment of the launch says (threads=inherit)")
    if threads:
        return Share(dict.fromkeys(VARIABLES, threads),
                     "threads: %s for each job (threads=%s): %s" % (threads, threads, ", ".join(VARIABLES)))
    given = [name for name in (*VARIABLES, _NUMEXPR_LIMIT) if environ.get(name, "").strip()]
    if OPENMP in given:
        return Share({}, "threads: %s=%s in the environment of the launch" % (OPENMP, environ[OPENMP]))
    names = [name for name in VARIABLES if name not in given
             and not (name == NUMEXPR and _NUMEXPR_LIMIT in given)]
    shown = "%s and the like" % OPENMP if len(names) == len(VARIABLES) else ", ".join(names)
    there = "%g CPU%s" % (round(cpus, 2), "" if cpus == 1 else "s")
    if workers is None:
        return Share({}, "threads: each job gets %s divided by the workers of its launch (%s)" % (
            there, shown))
    each = str(max(1, int(cpus // workers)))
    told = "threads: %s for each job: %s for %d worker%s (%s); threads=N or inherit changes it"
    return Share(dict.fromkeys(names, each), told % (
        each, there, workers, "" if workers == 1 else "s", shown))
