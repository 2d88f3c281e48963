"""`python -m jd.cli`: the same as `jd_worker_cli`."""

import sys

from jd.cli.main import entry

if __name__ == "__main__":
    sys.exit(entry())
