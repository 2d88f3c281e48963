"""`jd_worker_cli`, and `python -m jd.cli`."""

import sys

from jd.startup import prepare


def entry() -> int:
    """The console script."""
    prepare()
    from jd.cli import main
    return main.entry()


if __name__ == "__main__":
    sys.exit(entry())
