"""What workers left on this machine: registry rows, the mark that an experiment drains, results not
delivered.
"""

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional

from jd import paths
from jd.cli.checkup.finding import Check, Finding, Notes
from jd.errors import JdError, StorageError, UsageError
from jd.files import plainfile
from jd.net.outbound import Address
from jd.node.identity import Here
from jd.terminal import plural
from jd.worker.local import neighbours
from jd.worker.local.liveness import Life, life
from jd.worker.local.outboxes import MAX_ENTRY_BYTES, Place, everywhere, known
from jd.worker.local.registry import Registry

TOPIC = "Workers here"
_NAMED_HOSTS = 3
MAX_LOOKED_AT = 10_000  # results that are read


def checks(environ: Mapping[str, str], experiment: Optional[str],
           here: Callable[[], Here]) -> List[Check]:
    """Of one experiment, or of all that are known here. Without a home directory there are none."""
    try:
        paths.cache_root(environ)
    except UsageError:
        return []  # said under storage
    return [Check("the worker registry", lambda: registries(environ, experiment, here())),
            Check("results that wait", lambda: outboxes(environ, experiment))]


def registries(environ: Mapping[str, str], experiment: Optional[str],
               here: Here) -> List[Finding]:
    """Workers that live, died, or belong to other hosts; experiments that drain."""
    notes = Notes(TOPIC)
    for name in _experiments(notes, environ, experiment):
        registry = Registry(name, environ)
        try:
            rows, draining = registry.rows(), registry.draining()
        except JdError as error:
            notes.problem(error.what, error.advice)
            continue
        count = Counter(life(row, here) for row in rows)
        if count[Life.ALIVE]:
            notes.ok("%s: %s running" % (name, plural(count[Life.ALIVE], "worker")))
        for directory, there in neighbours.by_directory(rows, here, time.time()).items():
            if len(there) > 1:
                notes.ok("%s: the jobs of %d workers run in %s, and share what they write there; cwd=job "
                         "gives each job a directory of its own" % (name, len(there), directory))
        if count[Life.DEAD]:
            notes.warn("%s: %s died without saying so" % (name, plural(count[Life.DEAD], "worker")),
                       "their logs tell why; any other command removes them from the list")
        if count[Life.ELSEWHERE]:
            hosts = sorted({row.host or "unknown" for row in rows
                            if life(row, here) is Life.ELSEWHERE})
            more = "" if len(hosts) <= _NAMED_HOSTS else " and %d more" % (len(hosts) - _NAMED_HOSTS)
            notes.warn("%s: the registry has %s of %s%s" % (
                name, plural(count[Life.ELSEWHERE], "worker"), ", ".join(hosts[:_NAMED_HOSTS]), more),
                "nodes or containers share it: they are managed from there; set JD_CACHE_PATH to "
                "node-local storage for a registry of this node's own")
        if draining:
            notes.warn("%s: draining: workers exit after their job" % name,
                       "starting workers ends that")
    return notes.findings or notes.ok("none registered")


def outboxes(environ: Mapping[str, str], experiment: Optional[str]) -> List[Finding]:
    """Results that no server has taken yet, by server, and files that are no results."""
    notes = Notes(TOPIC)
    # What cannot be listed is told by `registries`.
    for name in _experiments(Notes(TOPIC), environ, experiment):
        for place in everywhere(name, environ):
            _outbox(notes, name, place)
    return notes.findings


def _outbox(notes: Notes, name: str, place: Place) -> None:
    directory = place.path
    try:
        waiting = place.names()[:MAX_LOOKED_AT]
        bad = sorted(file for file in os.listdir(str(directory)) if file.endswith(".bad"))
    except FileNotFoundError:
        return
    except StorageError as error:
        notes.problem(error.what, error.advice)
        return
    except OSError as error:
        notes.problem("%s: %s cannot be read: %s" % (name, directory, error.strerror),
                      "check its owner and mode")
        return
    servers: Dict[str, int] = Counter(_server_of(directory / file) for file in waiting)
    for server, count in sorted(servers.items()):
        notes.warn("%s: %d result%s wait%s for %s in %s" % (
            name, count, "" if count == 1 else "s", "s" if count == 1 else "", server, directory),
            "start a worker of the experiment while that server runs: it delivers them. If that server is no "
            "more, delete them")
    if bad:
        notes.warn("%s: %d file%s in %s cannot be read, for example %s" % (
            name, len(bad), "" if len(bad) == 1 else "s", directory, bad[0]),
            "the jobs run again; delete the files")


def _experiments(notes: Notes, environ: Mapping[str, str],
                 experiment: Optional[str]) -> List[str]:
    if experiment is not None:
        return [experiment]
    try:
        return known(environ)
    except JdError as error:
        notes.problem(error.what, error.advice)
        return []


def _server_of(path: Path) -> str:
    try:
        server = json.loads(plainfile.read(path, MAX_ENTRY_BYTES).decode("utf-8"))["server"]
        return Address.parse(str(server)).shown  # without a password that it may hold
    except (OSError, ValueError, TypeError, KeyError, RecursionError, UsageError):
        return "an unknown server"
