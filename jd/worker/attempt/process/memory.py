"""`memory=`: a limit for the address space of each process of a job (RLIMIT_AS of setrlimit(2)); and how much
a script had that ran out of memory.

A control group would limit what the job uses as a whole. To make one a worker would have to own its group and
leave it, as a group that has both processes and limited children is not allowed; what started the worker
counts on finding it where it was put.
"""

import re
import resource
import sys
from typing import Callable, Optional, Tuple

from jd.worker.verdict import Ended

_UNITS = ((1024 ** 4, "T"), (1024 ** 3, "G"), (1024 ** 2, "M"), (1024, "K"))
# What Python, NumPy, PyTorch, C++, the C library, its loader, R and Java say.
_SAYS_SO = re.compile(r"MemoryError|bad_alloc|[Cc]annot allocate memory|can't allocate memory"
                      r"|failed to map segment|cannot allocate vector|[Oo]ut ?[Oo]f ?[Mm]emory"
                      r"|not enough memory|memory exhausted")
_SIGNALS_OF_NONE = (-6, -7, -11)  # SIGABRT, SIGBUS, SIGSEGV


def can_be_limited() -> bool:
    """Whether the system keeps to such a limit: macOS takes it and does not."""
    return sys.platform != "darwin"


def shown(size: int) -> str:
    """Bytes as people type them for `memory=`."""
    for factor, unit in _UNITS:
        if size % factor == 0:
            return "%d%s" % (size // factor, unit)
    return str(size)


def limits(size: Optional[int]) -> Optional[Tuple[int, int]]:
    """The soft and the hard limit (RLIMIT_AS) for the process that becomes the script, None for none.

    To set it must be the last thing before the program is executed: the copy of the worker may be larger
    already, and gets no more memory then. The call itself needs none.
    """
    if size is None or not can_be_limited():
        return None
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    return (size, size) if hard == resource.RLIM_INFINITY else (min(size, hard), min(size, hard))


def limiter(size: Optional[int]) -> Optional[Callable[[], None]]:
    """What sets these limits, None where there are none to set."""
    wanted = limits(size)
    if wanted is None:
        return None
    setrlimit, which = resource.setrlimit, resource.RLIMIT_AS

    def limit() -> None:
        setrlimit(which, wanted)
    return limit


def told(size: int, sees_gpus: bool) -> str:
    """The line of the worker's log."""
    if not can_be_limited():
        return "memory=%s: this system does not limit the memory of a process" % shown(size)
    return "memory: at most %s for each process of a job (memory=%s)%s" % (
        shown(size), shown(size), "; that counts address space, of which programs that use a GPU reserve far "
        "more: they may not start" if sees_gpus else "")


def why_out_of_memory(ended: Ended, limit: Optional[int]) -> Optional[str]:
    """How much a script had that ran out of memory; `limit` is what its control group may have, None for no
    limit but that of the machine."""
    if not ended.ran_out_of_memory:
        return None
    had = "" if ended.peak_memory is None else "its largest process had %s" % rounded(ended.peak_memory)
    may = ("the machine had no more" if limit is None
           else "the control group of its worker may have %s" % rounded(limit))
    return "(%s)" % "; ".join(filter(None, (had, may)))


def rounded(size: int) -> str:
    """Bytes for people, to a tenth."""
    factor, unit = next((one for one in _UNITS if size >= one[0]), (1024, "K"))
    return "%.1f %siB" % (size / factor, unit)


def why_failed(size: Optional[int], ended: Ended) -> Optional[str]:
    """What the limit has to do with the end of a script that failed; None if nothing, as it seems."""
    if size is None or not can_be_limited():
        return None
    if _SAYS_SO.search(ended.tail) is not None:
        return "it got no more memory: each of its processes may have %s (memory=%s of its worker)" % (
            shown(size), shown(size))
    if ended.exit_code in _SIGNALS_OF_NONE:
        return ("a program that gets no more memory may end so, and each process of the job may have %s "
                "(memory=%s of its worker)" % (shown(size), shown(size)))
    return None
