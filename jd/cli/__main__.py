"""`jd_worker_cli`, and `python -m jd.cli`."""

import sys

from jd import startup


def entry() -> int:
    """The console script."""
    return startup.run("jd.cli.main")


if __name__ == "__main__":
    sys.exit(entry())
