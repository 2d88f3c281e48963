"""`jd_hub`, and `python -m jd.hub`."""

import sys

from jd import startup


def entry() -> int:
    """The console script."""
    return startup.run("jd.hub.cli")


if __name__ == "__main__":
    sys.exit(entry())
