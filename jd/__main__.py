"""`python -m jd`, and what jd-worker.pyz runs. The first word `server` means jd_server and `hub` means
jd_hub; everything else is for jd_worker_cli.

Python 2 and the first ones of 3 read this file too, to say that they are too old: it has no newer
syntax, and no other character than ASCII ones.
"""

import importlib
import os
import sys

if sys.version_info < (3, 8):
    sys.stderr.write("error: this is Python %d.%d (%s), and JobDistributor needs 3.8 or newer; start it "
                     "with another: python3.X %s\n" % (sys.version_info[0], sys.version_info[1],
                                                       sys.executable, sys.argv[0]))
    sys.exit(1)

_MODULES = {"server": "jd.server.__main__", "hub": "jd.hub.__main__"}


def entry():
    # type: () -> int
    """Run what the first word names; its exit status."""
    module = _MODULES.get("".join(sys.argv[1:2]))
    if module is None:
        module = "jd.cli.__main__"
    else:
        del sys.argv[1]
    return int(importlib.import_module(module).entry())


if __name__ == "__main__":
    if not __package__:
        # In a .pyz. Workers import from it when they have left the directory that it was named
        # relative to, and when the link that it was started by leads to a newer one.
        sys.path[0] = os.path.realpath(sys.path[0])
    sys.exit(entry())
