"""What these commands share in what they show."""

import json
import sys
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator

from jd.terminal import Progress

_MEGABYTE = 1024 * 1024
_UNITS = ((1024 ** 4, "TiB"), (1024 ** 3, "GiB"), (1024 ** 2, "MiB"), (1024, "KiB"))


def size(count: int) -> str:
    """Bytes as people read them."""
    for factor, unit in _UNITS:
        if count >= factor:
            return "%.1f %s" % (count / factor, unit)
    return "%d B" % count


def when(seconds: float) -> str:
    """A time of this machine's zone, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def emit(facts: Dict[str, Any]) -> None:
    """One line of JSON."""
    print(json.dumps(facts), flush=True)


@contextmanager
def megabytes(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; it is told how many bytes are done."""
    most = max(1, total // _MEGABYTE)
    with Progress(most, label, sys.stderr) as bar:
        yield lambda done: bar.update(min(most, done // _MEGABYTE), "MiB")
        bar.update(most, "MiB")
