"""The digits-tune sweep from start to end on this machine: a job server, two workers, the best settings.

    python demo.py [--keep DIR [--dashboard]]

It needs no network and touches nothing outside its own directory. Interrupt it when you like: with
--keep and the same DIR it goes on where it was. With --dashboard it runs nothing, and serves what is in DIR.
"""

import argparse
import io
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import List, Optional

import jd
from jd.errors import EXIT_FAILURE, EXIT_OK, UsageError, run_command
from jd.terminal import paint

HERE = Path(__file__).resolve().parent
BEST = 5
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run() -> int:
    """The sweep in the directory that `stay_within` has prepared; the exit status."""
    with jd.sweep(HERE / "sweep.json", HERE / "train.py", workers=2, exp_id="digits-tune") as sweep:
        try:
            print(sweep.wait())
            rows = sweep.results("accuracy", goal="max")
        finally:
            for number in ENDS:
                signal.signal(number, signal.SIG_IGN)  # an impatient Ctrl-C must not leave anything behind
            print("stopping the workers and the server")
    done = [row for row in rows if row["status"] == "DONE"]
    if done:
        print(paint("\nThe %d best of %d settings" % (min(BEST, len(done)), len(done)), "bold"))
        print("%s\nworst: %.4f\n" % (rows[:BEST], min(row["accuracy"] for row in done)))
    return EXIT_OK if len(done) == len(rows) else EXIT_FAILURE


def serve(directory: Path) -> None:
    """Become a server of what the demo has left in `directory`, on free ports. Its first lines tell where the
    dashboard is, and Ctrl-C ends it. Raises UsageError where the demo has left nothing."""
    if not (directory / "server" / "digits-tune").is_dir():
        raise UsageError("%s has no sweep of this demo: without --dashboard it runs there" % directory)
    os.execv(sys.executable, [sys.executable, "-m", "jd.server", "--expId", "digits-tune", "--port", "0",
                              "--dashboard-port", "0"])


def stay_within(directory: Path) -> None:
    """Nothing of the user's own JobDistributor settings counts, nothing outside `directory` is touched."""
    for name in [name for name in os.environ if name.startswith("JD_")]:
        del os.environ[name]
    os.environ.update(HOME=str(directory), JD_WORKSPACE_PATH=str(directory),
                      JD_CACHE_PATH=str(directory / "cache"),
                      JD_SERVER_WORKSPACE_PATH=str(directory / "server"))
    os.chdir(str(directory))  # there could be a .env in the one that we come from


def chosen_directory(keep: Optional[str]) -> Path:
    """The directory of --keep, or a fresh one. Raises UsageError where it cannot be made."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="jd-demo-")).resolve()
    directory = Path(keep).expanduser().resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError("--keep %s cannot be made a directory: %s" % (keep, error.strerror)) from None
    return directory


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="demo.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", metavar="DIR", help="directory for all data; a fresh one in the "
                        "temporary directory if not given. An interrupted demo goes on from it")
    parser.add_argument("--dashboard", action="store_true",
                        help="show the sweep that is in the directory of --keep, until Ctrl-C; runs nothing")
    given = parser.parse_args(argv)
    if given.dashboard and given.keep is None:
        parser.error("--dashboard needs the --keep DIR of a demo that ran")
    directory = chosen_directory(given.keep)
    # SIGINT too: a background child of a script starts with it ignored.
    for number in ENDS:
        signal.signal(number, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # in a log, lines appear when they are said
    print("data  %s" % directory)
    stay_within(directory)
    again = '"%s" "%s" --keep "%s"' % (sys.executable, HERE / "demo.py", directory)
    if given.dashboard:
        serve(directory)
    try:
        status = run()
    except KeyboardInterrupt:
        print("To go on: %s" % again)
        raise
    print("Files and logs stay in %s: delete it when you have seen enough." % directory)
    print("Its dashboard again: %s --dashboard" % again)
    return status


if __name__ == "__main__":
    sys.exit(run_command(main))
