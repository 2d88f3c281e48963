"""`jd_server`, and `python -m jd.server`."""

import sys

from jd import startup


def entry() -> int:
    """The console script."""
    return startup.run("jd.server.command.cli")


if __name__ == "__main__":
    sys.exit(entry())
