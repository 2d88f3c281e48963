"""`jd_server`, and `python -m jd.server`."""

import sys

from jd.startup import prepare


def entry() -> int:
    """The console script."""
    prepare()
    from jd.server.command import cli
    return cli.entry()


if __name__ == "__main__":
    sys.exit(entry())
