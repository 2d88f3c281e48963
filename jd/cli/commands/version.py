"""`jd_worker_cli version`."""

import sys

import jd
from jd import paths
from jd.cli import packageowner
from jd.cli.context import Context


def run(context: Context) -> int:
    """Print package version, Python executable and cache root (reference, section 2), and whose
    package it is."""
    context.words_exactly(0)
    cache = paths.cache_place(context.environ)
    python = sys.version.split()[0]
    other = packageowner.other_package()
    if context.values["json"]:
        import json
        print(json.dumps({"version": jd.__version__, "product": jd.__product__,
                          "package": packageowner.place(), "other_package": other,
                          "python": python, "executable": sys.executable, "cache": cache}))
        return 0
    print("jd_worker_cli %s" % jd.__version__)
    print("jd     %s, %s" % (jd.__product__, packageowner.place()))
    if other is not None:
        print("note   %s %s of another vendor is installed for this Python too"
              % (packageowner.DISTRIBUTION, other))
    print("Python %s  %s" % (python, sys.executable))
    print("cache  %s" % cache)
    return 0
