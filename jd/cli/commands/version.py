"""`jd_worker_cli version`."""

import json
import platform
import sys

import jd
from jd import paths
from jd.cli.context import Context


def run(context: Context) -> int:
    """Print package version, Python executable and cache root (reference, section 2)."""
    context.words_exactly(0)
    cache = str(paths.cache_root(context.environ))
    if context.values["json"]:
        print(json.dumps({"version": jd.__version__, "python": platform.python_version(),
                          "executable": sys.executable, "cache": cache}))
        return 0
    print("jd_worker_cli %s" % jd.__version__)
    print("Python %s  %s" % (platform.python_version(), sys.executable))
    print("cache  %s" % cache)
    return 0
