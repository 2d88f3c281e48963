"""`jd_worker_cli`, and `python -m jd.cli`."""

import gc
import sys

from jd import startup


def entry() -> int:
    """The console script.

    What is imported is there to stay. To look for garbage in it, again and again while it comes and once more
    when Python ends, would take a tenth of a short command's time. So that begins when the command itself
    does (`main.execute`), and at the end there is nothing to look through.
    """
    gc.disable()
    try:
        return startup.run("jd.cli.main")
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(entry())
