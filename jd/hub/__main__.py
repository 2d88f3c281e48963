"""`jd_hub`, and `python -m jd.hub`."""

import sys

from jd.startup import prepare


def entry() -> int:
    """The console script."""
    prepare()
    from jd.hub import cli
    return cli.entry()


if __name__ == "__main__":
    sys.exit(entry())
