"""Starts a program of jd with surroundings that a test has changed: `launcher.py jd.server --port 0 …`.

    FAULTS_CLOCK           file with the seconds that the clock of this machine is off
    FAULTS_TOKEN_LIFETIME  seconds that tokens of the Hub live
    FAULTS_WORDS           what workers may be named after, for machines that cannot be told apart
    FAULTS_SEVERAL         if it is there, workers ask for several jobs at once, and are given them, however
                           few there are, how short a lease is and how long jobs take
"""

import os
import runpy
import sys
import time

_real_time = time.time


def _set_time() -> float:
    """What stands for the clock of the machine."""
    try:
        with open(os.environ["FAULTS_CLOCK"]) as file:
            return _real_time() + float(file.read() or 0)
    except FileNotFoundError:
        return _real_time()


def main() -> None:
    if "FAULTS_CLOCK" in os.environ:
        time.time = _set_time
    if "FAULTS_TOKEN_LIFETIME" in os.environ:
        from jd.hub.store import issuing
        issuing.TOKEN_LIFETIME = float(os.environ["FAULTS_TOKEN_LIFETIME"])
        issuing.REFRESH_MARGIN = issuing.TOKEN_LIFETIME / 2
    if "FAULTS_WORDS" in os.environ:
        from jd.node import identity
        vars(identity)["WORDS"] = tuple(os.environ["FAULTS_WORDS"].split())
    if "FAULTS_SEVERAL" in os.environ:
        from jd.server.store.queue import claim
        from jd.worker.agent import handful
        claim.FRACTION, claim.LEAST_LEASE = 1, 0.0
        handful.LAST_JOBS, handful.AT_ONCE, handful.PATIENCE = 1, 60.0, 4.0
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
