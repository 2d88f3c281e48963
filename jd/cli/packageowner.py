"""Whether `jd` is this package: another vendor publishes a `jd-worker` with a module `jd` as well.

`pip install --upgrade jd-worker` from an index puts that in the place of this one.
"""

from importlib import metadata
from typing import Any, Callable, Optional

import jd
from jd.program import package_parent

DISTRIBUTION = "jd-worker"
# What a Python is asked about the jd that its scripts get; prints one word and the rest.
QUESTION = ("import jd; print('ours' if getattr(jd, '__product__', None) == %r else 'other', "
            "getattr(jd, '__version__', 'unknown'), jd.__file__)" % jd.__product__)
ADVICE = ("pip uninstall %s, then install this one from its wheel or checkout: pip install --no-index "
          "jd_worker-*.whl; see docs/air-gapped.md" % DISTRIBUTION)


def place() -> str:
    """Where the running package is."""
    return package_parent()


def other_package(find: Callable[[str], Any] = metadata.distribution) -> Optional[str]:
    """The version of another vendor's `jd-worker` that is installed for this interpreter; None if there is
    none. It is beside ours where this runs from a checkout, a .pyz or PYTHONPATH."""
    try:
        told = find(DISTRIBUTION).metadata
    except Exception:  # not installed, or metadata that nobody can read
        return None
    if told is None or told["Author"] == jd.__author__:
        return None
    return str(told["Version"] or "unknown")
