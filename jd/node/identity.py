"""Who a worker is: the name people read, and the process behind it.

A worker id is `{host}_{instance}_{slot}` (reference, section 2). A process is known by its boot, its pid
and its start time, since a pid alone is given to another process sooner or later.
"""

from __future__ import annotations

import os
from pathlib import Path

from jd.node.cgroups import read_small
from jd.node.instancewords import WORDS
from jd.shape import NamedTuple
from jd.workername import split_worker_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random
    from typing import AbstractSet, Callable, Sequence

    Runner = Callable[[Sequence[str]], str]

HOST_CHARS = 12
_HASH_CHARS = 5  # 36^5: a cluster of 5,000 look-alike names has no two alike, most likely
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_TOKEN_CHARS = 6

_PS_TIMEOUT = 5.0
_BTIME = "btime "  # of /proc/stat: when the system was started

# The start time of a process where neither /proc nor ps can tell it.
UNKNOWN_START = "unknown"


class ProcessIdentity(NamedTuple):
    """One process of one boot of one machine.

    `start_time` compares for equality only: clock ticks after boot on Linux, a date elsewhere.
    """

    boot_id: str
    pid: int
    start_time: str


# ---- names

def host_slug(hostname: str | None = None) -> str:
    """1 to 12 characters a-z0-9 that stand for a host; the default is this one.

    The short name (up to the first dot) in lower case where it fits. A longer one, or one with
    other characters, is shortened and ends in 5 characters of its hash, so that names with a
    common beginning stay distinct. An address counts as a whole; an empty name is "host".
    """
    import unicodedata
    name = (_hostname() if hostname is None else hostname).strip().rstrip(".").lower()
    short = name if _is_address(name) else name.split(".", 1)[0]
    plain = "".join(char for char in unicodedata.normalize("NFKD", short) if char in _ALPHABET)
    if not short:
        return "host"
    if plain == short and len(plain) <= HOST_CHARS:
        return plain
    return (plain or "host")[:HOST_CHARS - _HASH_CHARS] + _hashed(short)


def _hostname() -> str:
    return os.uname().nodename  # what socket.gethostname() says, which few commands need a socket for


def _is_address(name: str) -> bool:
    import ipaddress
    try:
        ipaddress.ip_address(name.split("%", 1)[0])
    except ValueError:
        return False
    return True


def _hashed(name: str) -> str:
    import hashlib
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:8], "big")
    chars = []
    for _ in range(_HASH_CHARS):
        number, index = divmod(number, len(_ALPHABET))
        chars.append(_ALPHABET[index])
    return "".join(chars)


def new_worker_id(slot: int, taken: AbstractSet[str] = frozenset(),
                  rng: random.Random | None = None, hostname: str | None = None) -> str:
    """A worker id of this host whose instance is a word not in `taken`.

    `taken` holds worker ids or bare instances, of whatever host. Where every word is taken, the
    instance is a random token of 6 letters and digits.
    """
    import random
    chooser = rng if rng is not None else random.Random()
    used = {_instance_of(name) for name in taken}
    free = [word for word in WORDS if word not in used]
    instance = chooser.choice(free) if free else _token(chooser, used)
    return "%s_%s_%d" % (host_slug(hostname), instance, slot)


def _instance_of(name: str) -> str:
    parts = split_worker_id(name)
    return name if parts is None else parts.instance


def _token(chooser: random.Random, used: AbstractSet[str]) -> str:
    while True:
        token = "".join(chooser.choice(_ALPHABET) for _ in range(_TOKEN_CHARS))
        if token not in used:
            return token


# ---- processes

def process_identity(pid: int | None = None, proc: Path = Path("/proc"),
                     run: Runner | None = None) -> ProcessIdentity | None:
    """The identity of a running process, by default this one; None where there is no such process.

    A zombie, which only waits for its parent to ask, is not running. Where there is no /proc
    (macOS) `ps` is asked, through `run` if given.
    """
    number = os.getpid() if pid is None else pid
    if number <= 0:
        return None
    if (proc / "self").exists():
        return _from_proc(number, proc)
    return _from_ps(number, run if run is not None else _run)


class Here:
    """This host as it judges registered processes: its name, boot and pid namespace, read once.

    `own` is the identity of this process. Containers of one node share its boot but not its pids,
    so a process is known by its pid namespace as well. The name is what people read, and may change
    while processes run (DHCP, `hostnamectl`).
    """

    def __init__(self, hostname: str | None = None, proc: Path = Path("/proc"),
                 run: Runner | None = None) -> None:
        self.host = _hostname() if hostname is None else hostname
        self._proc = proc
        self._run = run
        self._has_proc = (proc / "self").exists()
        own = process_identity(None, proc, run)
        # A sandbox without /proc and ps: nothing can be told of other processes.
        self.own = own if own is not None else ProcessIdentity("", os.getpid(), UNKNOWN_START)
        try:
            self.pid_namespace = os.readlink(str(proc / "self" / "ns" / "pid"))
        except OSError:
            self.pid_namespace = ""

    @property
    def is_unmistakable(self) -> bool:
        """Whether boot and pid namespace alone tell this machine from every other one, whatever it is called.

        They do not where a sandbox hides one of them: many machines have the same time of boot, and
        containers of one host share its boot id.
        """
        boot = self.own.boot_id
        return bool(boot) and not boot.startswith(_BTIME) and (
            bool(self.pid_namespace) or not self._has_proc)

    @property
    def booted_at(self) -> float | None:
        """When this machine was started, in Unix seconds; None where that cannot be told."""
        seconds = _boot_time(self._proc)[len(_BTIME):]
        return float(seconds) if seconds.isdigit() else None

    def start_time(self, pid: int) -> str | None:
        """When a process of this host started; None where there is none."""
        if self._has_proc:
            return _start_ticks(pid, self._proc)
        found = process_identity(pid, self._proc, self._run)
        return None if found is None else found.start_time

    def began_at(self, pid: int) -> float | None:
        """The same in Unix seconds, to about a second; None also where that cannot be told."""
        ticks = self.start_time(pid) if self._has_proc else None
        booted = self.booted_at
        if ticks is None or booted is None:
            return None
        return booted + int(ticks) / os.sysconf("SC_CLK_TCK")


def _start_ticks(pid: int, proc: Path) -> str | None:
    # proc(5): "pid (comm) state ppid …"; comm may hold spaces and parentheses. The start time is
    # field 22, the 20th after the last parenthesis. Read bare: a clean-up asks for thousands.
    try:
        fd = os.open("%s/%d/stat" % (proc, pid), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        stat = os.read(fd, 4096)
    except OSError:
        return None  # it ended meanwhile
    finally:
        os.close(fd)
    fields = stat.rpartition(b")")[2].split()
    return None if len(fields) < 20 or fields[0] in (b"Z", b"X", b"x") else fields[19].decode("ascii")


def _from_proc(pid: int, proc: Path) -> ProcessIdentity | None:
    started = _start_ticks(pid, proc)
    if started is None:
        return None
    boot = read_small(proc / "sys" / "kernel" / "random" / "boot_id").strip()
    return ProcessIdentity(boot or _boot_time(proc), pid, started)


def _boot_time(proc: Path) -> str:
    """What tells one boot from another where a sandbox hides the boot id."""
    for line in read_small(proc / "stat").splitlines():
        if line.startswith(_BTIME):
            return line.strip()
    return ""


def _from_ps(pid: int, run: Runner) -> ProcessIdentity | None:
    state, _, started = run(["ps", "-o", "stat=,lstart=", "-p", str(pid)]).strip().partition(" ")
    if not state or state.startswith("Z") or not started.strip():
        return None
    boot = run(["sysctl", "-n", "kern.bootsessionuuid"]).strip()
    return ProcessIdentity(boot, pid, " ".join(started.split()))


def _run(command: Sequence[str]) -> str:
    import subprocess
    environ = dict(os.environ, LC_ALL="C", TZ="UTC")
    try:
        return subprocess.run(command, env=environ, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=_PS_TIMEOUT, check=False).stdout.decode("ascii", "replace")
    except (OSError, subprocess.SubprocessError):
        return ""
