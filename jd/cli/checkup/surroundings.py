"""What this process runs in: user, home, host name, clock, limits, signals."""

import os
import pwd
import resource
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Tuple

from jd.cli.checkup.finding import Finding, Notes
from jd.cli.checkup.storage import write_through

TOPIC = "This node"
ENOUGH_FILES = 1024
ENOUGH_PROCESSES = 256
# No clock that is right shows a date before this program was written.
EARLIEST = 1704067200.0  # 2024-01-01

Environ = Mapping[str, str]
Limits = Callable[[int], Tuple[int, int]]


def host(name: Optional[str] = None) -> List[Finding]:
    """The host name, which worker ids begin with."""
    notes = Notes(TOPIC)
    given = socket.gethostname() if name is None else name
    if given.split(".")[0].lower() in ("", "localhost", "(none)"):
        return notes.warn("the host name is %r: workers of several such nodes look alike" % given,
                          "give this node or container a name of its own")
    return notes.ok("host %s" % given)


def user(environ: Environ, uid: Optional[int] = None,
         look_up: Callable[[int], Any] = pwd.getpwuid) -> List[Finding]:
    """The user, and whether there is a home directory."""
    notes = Notes(TOPIC)
    number = os.getuid() if uid is None else uid
    try:
        entry = look_up(number)
        known, home = "user %s (uid %d)" % (entry.pw_name, number), entry.pw_dir
    except KeyError:
        known, home = "uid %d, without a passwd entry" % number, ""
    home = environ.get("HOME") or home
    if not home:
        if environ.get("JD_WORKSPACE_PATH") and environ.get("JD_CACHE_PATH"):
            return notes.warn("%s, no home directory" % known, "set HOME if a script wants one")
        return notes.problem("%s, no home directory" % known,
                             "set HOME, or both JD_WORKSPACE_PATH and JD_CACHE_PATH")
    notes.ok("%s, home %s" % (known, home))
    failure = write_through(Path(home))
    if failure is not None:
        notes.warn("home %s cannot be written: %s" % (home, failure),
                   "set JD_WORKSPACE_PATH and JD_CACHE_PATH, and what your script keeps in its home")
    return notes.findings


def temporary_files(environ: Environ,
                    find: Callable[[], str] = tempfile.gettempdir) -> List[Finding]:
    """TMPDIR and what is used without it."""
    notes = Notes(TOPIC)
    given = environ.get("TMPDIR", "")
    if given and not os.path.isdir(given):
        notes.warn("TMPDIR is %s, which is no directory here" % given,
                   "a scheduler may have brought it from the login node: unset it, or make it")
    try:
        notes.ok("temporary files go to %s" % find())
    except OSError:
        notes.problem("no directory for temporary files can be written",
                      "set TMPDIR to one that can")
    return notes.findings


def mask(value: Optional[int] = None) -> List[Finding]:
    """The umask, in octal as the shell shows it."""
    notes = Notes(TOPIC)
    if value is None:
        value = os.umask(0o077)
        os.umask(value)
    if value & 0o700:
        return notes.problem("umask %03o keeps you from your own files" % value, "use umask 022")
    if not value & 0o002:
        return notes.warn("umask %03o lets everybody write what jobs write" % value,
                          "use umask 022, or 077")
    return notes.findings


def clock(now: Optional[float] = None) -> List[Finding]:
    """Whether the clock can be right at all; the server's date says more."""
    notes = Notes(TOPIC)
    seconds = time.time() if now is None else now
    if seconds < EARLIEST:
        return notes.problem("the clock says %s" % time.strftime(
            "%Y-%m-%d %H:%M", time.gmtime(max(0.0, seconds))), "set the clock of this node")
    return notes.findings


# ---- limits

def limits(get: Limits = resource.getrlimit) -> List[Finding]:
    """Resource limits (setrlimit(2)) that a sweep runs into."""
    notes = Notes(TOPIC)
    files = get(resource.RLIMIT_NOFILE)[0]
    processes = get(resource.RLIMIT_NPROC)[0]
    if _below(files, ENOUGH_FILES):
        notes.warn("at most %d open files" % files, "ulimit -n %d" % ENOUGH_FILES)
    if _below(processes, ENOUGH_PROCESSES):
        notes.warn("at most %d processes of this user" % processes,
                   "ulimit -u %d, or fewer workers: each job is a process and may start more"
                   % ENOUGH_PROCESSES)
    cpu, size = get(resource.RLIMIT_CPU)[0], get(resource.RLIMIT_FSIZE)[0]
    if cpu != resource.RLIM_INFINITY:
        notes.warn("processes are killed after %d s of CPU time" % cpu,
                   "this may be a login node: run workers in a job; or ulimit -t unlimited")
    if size != resource.RLIM_INFINITY:
        notes.warn("no file can be larger than %d bytes" % size, "ulimit -f unlimited")
    core = get(resource.RLIMIT_CORE)[0]
    notes.ok("limits: %s open files, %s processes, core files %s" % (
        _shown(files), _shown(processes), "off" if core == 0 else
        "of any size" if core == resource.RLIM_INFINITY else "of at most %d bytes" % core))
    return notes.findings


def _below(value: int, enough: int) -> bool:
    return value != resource.RLIM_INFINITY and value < enough


def _shown(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


# ---- signals

_MEANING = {
    "SIGTERM": ("a batch script goes on when the scheduler stops it; workers do not",
                "end the script in exec jd_worker_cli ..., so that the worker gets the signal"),
    "SIGCHLD": ("exit statuses of commands may get lost before workers set it right",
                "look for trap '' CHLD in what starts this shell, or for the init of the container"),
}


def signals(handler: Callable[[int], Any] = signal.getsignal) -> List[Finding]:
    """Signals that were ignored when this program started: nohup, `trap ''`, `&` in a script.

    Workers handle the ones that they need, whatever was inherited.
    """
    notes = Notes(TOPIC)
    for name, (meaning, advice) in _MEANING.items():
        if handler(getattr(signal, name)) == signal.SIG_IGN:
            notes.warn("%s is ignored here: %s" % (name, meaning), advice)
    if handler(signal.SIGHUP) == signal.SIG_IGN:
        notes.ok("SIGHUP is ignored here, as with nohup: workers outlive the terminal")
    if handler(signal.SIGINT) == signal.SIG_IGN:
        notes.ok("SIGINT is ignored here, as in background jobs of a script: workers still take it")
    return notes.findings
