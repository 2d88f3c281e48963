"""Points of the code at which tests end the process, as a crash of it would. For tests only.

A line `killpoint("outbox.claim.before-rename")` stands in front of and behind each commit, each rename, and
each fsync that is done apart from them: there a crash finds one thing done and the next one not. It does
nothing unless the process was started with JD_KILL_POINT=NAME in its environment, or NAME:N; then the
process kills itself when it comes to that point, or when it does for the Nth time. What it forks counts for
itself. Workers keep the variable from scripts.
"""

import os

VARIABLE = "JD_KILL_POINT"

_chosen, _, _number = os.environ.get(VARIABLE, "").partition(":")
_left = int(_number) if _number.isdecimal() else 1


def killpoint(name: str) -> None:
    """End this process at once if the point of this name was chosen. No `finally` and no handler runs."""
    if _chosen:
        _pass(name)


def _pass(name: str) -> None:
    global _left
    if name != _chosen:
        return
    _left -= 1
    if _left <= 0:
        import signal  # which each start of a command would take
        os.kill(os.getpid(), signal.SIGKILL)
