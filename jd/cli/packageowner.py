"""Whether `jd` is this package: another vendor publishes a `jd-worker` with a module `jd` as well.

`pip install --upgrade jd-worker` from an index puts that in the place of this one.
"""

from __future__ import annotations

import os
import sys

import jd
from jd.program import package_parent

DISTRIBUTION = "jd-worker"
# What a Python is asked about the jd that its scripts get; prints one word and the rest.
QUESTION = ("import jd; print('ours' if getattr(jd, '__product__', None) == %r else 'other', "
            "getattr(jd, '__version__', 'unknown'), jd.__file__)" % jd.__product__)
ADVICE = ("pip uninstall %s, then install this one from its wheel or checkout: pip install --no-index "
          "jd_worker-*.whl; see docs/air-gapped.md" % DISTRIBUTION)
_MAX_HEAD = 64 * 1024  # characters; the readme that follows the headers is of no interest


def place() -> str:
    """Where the running package is."""
    return package_parent()


def other_package() -> str | None:
    """The version of another vendor's `jd-worker` that is installed for this interpreter; None if there is
    none. It is beside ours where this runs from a checkout, a .pyz or PYTHONPATH."""
    told = next((told for told in map(_told, sys.path) if told), None)
    if told is None or told.get("author") == jd.__author__:
        return None
    return told.get("version") or "unknown"


def _told(directory: str) -> dict[str, str]:
    """What the metadata of a `jd-worker` says that is installed in a directory: the headers of its METADATA
    by their names in lower case, none where it is not there or cannot be read.

    `importlib.metadata` reads the same, and imports the packages for e-mail and archives for it.
    """
    try:
        for name in sorted(os.listdir(directory or os.curdir)):
            project, _, kind = name.lower().rpartition(".")
            if kind in ("dist-info", "egg-info") and project.partition("-")[0] == "jd_worker":
                path = os.path.join(directory, name, "METADATA" if kind == "dist-info" else "PKG-INFO")
                with open(path, encoding="utf-8", errors="replace") as file:
                    head = file.read(_MAX_HEAD).partition("\n\n")[0]
                pairs = [line.partition(":") for line in head.splitlines()]
                return {key.strip().lower(): value.strip() for key, _, value in reversed(pairs)}
    except OSError:
        pass  # a .zip, or a directory that is not there
    return {}
