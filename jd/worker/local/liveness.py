"""Which registered workers are alive, as far as this host can tell.

A host judges its own rows only: one on a shared home may be about a process of another node, or of
another container (a pid namespace of its own), whose pids mean nothing here. Such a row is left
alone, whatever it says. A host knows its rows by boot and pid namespace, which no other machine has; its
name, which changes, decides only where these are hidden, and after a reboot.
"""

import re
from enum import Enum

from jd.node.identity import HOST_CHARS, UNKNOWN_START, Here, host_slug
from jd.worker.local.rows import Row
from jd.workername import split_worker_id

# Host names that many machines have: they prove nothing after a reboot.
_COMMON_HOSTS = ("", "localhost", "localhost.localdomain")
# A row of a published client has no start time. Its process began before the row was written,
# and not long before.
_LEGACY_SLACK = 60.0
_CLOCK_SLACK = 2.0  # the kernel tells the time of its boot in whole seconds


class Life(Enum):
    """What can be said here about the process of a row."""

    ALIVE = "alive"
    DEAD = "dead"
    ELSEWHERE = "elsewhere"


def life(row: Row, here: Here) -> Life:
    """Whether the very process of a row is alive, as far as this host can tell.

    Whoever wants to signal it must be told ALIVE: a pid alone may be anybody's.
    """
    if row.identity is None:
        return _legacy_life(row, here)
    if UNKNOWN_START in (row.identity.start_time, here.own.start_time):
        # One of the two cannot see processes, so nothing but the very same one can be compared.
        itself = row.identity == here.own and _is_here(row, here)
        return Life.ALIVE if itself else Life.ELSEWHERE
    if row.identity.boot_id != here.own.boot_id:
        # The same name and another boot: this machine, before it was started anew.
        renamed = row.host != here.host or here.host in _COMMON_HOSTS
        return Life.ELSEWHERE if renamed else Life.DEAD
    if not _is_here(row, here):
        return Life.ELSEWHERE
    return Life.ALIVE if here.start_time(row.pid) == row.identity.start_time else Life.DEAD


def was_here(row: Row, here: Here) -> bool:
    """Whether a dead worker was this machine's without any doubt: of its boot, or of one before it.

    Several machines may have one name. What has been heard of since this one was started was another's.
    """
    if row.identity is None or life(row, here) is not Life.DEAD:
        return False
    if row.identity.boot_id == here.own.boot_id:
        return True
    booted = here.booted_at
    return booted is not None and max(row.started_at, row.last_ping_at or 0.0) < booted


def _is_here(row: Row, here: Here) -> bool:
    """Whether a row of this boot is about a process that this one could see."""
    return row.pid_namespace == here.pid_namespace and (
        row.host == here.host or here.is_unmistakable)


def _published_slug(host: str) -> str:
    """What published clients call a host in their worker ids, before they cut it to HOST_CHARS."""
    return re.sub("[^a-z0-9]", "", host.lower()) or "host"


def _legacy_life(row: Row, here: Here) -> Life:
    name, slug = split_worker_id(row.worker_id), _published_slug(here.host)
    if name is None or name.host not in (here.host, host_slug(here.host), slug[:HOST_CHARS]):
        return Life.ELSEWHERE
    began = here.began_at(row.pid)
    if began is not None and -_LEGACY_SLACK <= began - row.started_at <= _CLOCK_SLACK:
        return Life.ALIVE
    untold = began is None and here.start_time(row.pid) is not None
    # A name that was cut is that of every host that begins so.
    is_cut = name.host == slug[:HOST_CHARS] != slug
    if untold or is_cut or here.own.start_time == UNKNOWN_START or here.host in _COMMON_HOSTS:
        return Life.ELSEWHERE
    return Life.DEAD
