"""What is to happen in one run, made from its seed alone: jobs, machines, and faults with their times.

How the processes meet the faults is left to chance, as in life; so a seed that failed may have to be played
some times until it fails again.
"""

import random
from typing import Callable, Dict, List, NamedTuple, Tuple

from tests.faults import proxy

# What a script does. `entry.py` has one function for each.
ACTS = ("plain", "prints", "result", "uploads", "saves", "directory", "collects", "family")

# Points at which the server, or a worker, is ended; each is met by runs without other faults.
SERVER_POINTS = (
    "database.before-commit", "database.after-commit", "store.claim.before-commit", "store.end.before-commit",
    "files.place.before-rename", "files.place.after-rename", "heartbeat.after-commit", "result.after-commit",
    "upload.after-commit", "checkpoint.after-commit", "names.put.before-rename", "names.put.after-rename",
    "wholefile.before-rename", "wholefile.after-rename",
)
WORKER_POINTS = (
    "outbox.write.before-rename", "outbox.write.after-rename", "outbox.remove.before-unlink",
    "outbox.claim.before-rename", "outbox.claim.after-rename", "outbox.secure.after-rename",
    "outbox.release.before-rename", "outbox.release.after-rename", "waitingfiles.add.before-rename",
    "waitingfiles.copy.before-rename", "waitingfiles.copy.after-rename", "registry.before-commit",
    "registry.after-commit", "wholefile.before-rename", "wholefile.after-rename",
    "checkpoint.unpack.before-rename", "checkpoint.unpack.after-rename",
)

_SWITCHES = ("with_hub", "by_file", "same_names", "server_point", "worker_point", "power_loss", "several")

SERVER, HUB, WORKER, SCRIPT, NETWORK, DISK, CLOCK = (
    "server", "hub", "worker", "script", "network", "disk", "clock")


class Job(NamedTuple):
    """A job does one of ACTS, takes some `seconds`, and its script fails `fails` times before. A `hopeless`
    one always fails."""

    act: str
    seconds: float
    fails: int
    hopeless: bool


class Fault(NamedTuple):
    """`what` happens to `whom`, `at` seconds after the first job has begun, and is over after `lasts`
    seconds. `detail` says which node, which trouble of the network, or by how much."""

    at: float
    whom: str
    what: str
    lasts: float
    detail: str = ""


class Plan(NamedTuple):
    """`nodes` has the number of workers of each machine. A point is NAME:N, or "" for none."""

    seed: int
    jobs: Tuple[Job, ...]
    nodes: Tuple[int, ...]
    with_hub: bool
    by_file: bool  # the workers find the server by a file, and it moves
    same_names: bool  # the machines cannot be told apart, and call their workers the same
    server_point: str
    worker_point: str
    power_loss: bool  # copies of the database are taken meanwhile
    faults: Tuple[Fault, ...]
    several: bool = False  # workers ask for several jobs at once, and are given them

    def shown(self) -> str:
        """The plan, for people who look into a run that failed."""
        lines = ["plan of seed %d:" % self.seed]
        for name in ("nodes", *_SWITCHES):
            value = getattr(self, name)
            if value:
                lines.append("  %s: %s" % (name.replace("_", " "), value))
        for number, job in enumerate(self.jobs, 1):
            lines.append("  job %d %s, %.2f s%s%s" % (
                number, job.act, job.seconds, ", fails %d times" % job.fails if job.fails else "",
                ", hopeless" if job.hopeless else ""))
        lines += ["  at %.2f s for %.2f s: %s %s %s" % (
            fault.at, fault.lasts, fault.whom, fault.what, fault.detail) for fault in self.faults]
        return "\n".join(lines)

    def kinds(self) -> "List[str]":
        """What kinds of faults are in it, to count what runs have covered."""
        kinds = ["%s %s" % (fault.whom, fault.what) for fault in self.faults]
        return kinds + [name.replace("_", " ") for name in _SWITCHES if getattr(self, name)]


def make(seed: int, jobs: int = 10, storm: int = 0) -> Plan:
    """The plan of a seed. With `storm` there is one machine with so many workers, and all of them are killed
    and started again at once."""
    chance = random.Random(seed)
    nodes = tuple(chance.choice((1, 1, 2)) for _ in range(chance.choice((1, 2, 2))))
    with_hub = chance.random() < 0.12
    by_file = not with_hub and chance.random() < 0.3
    number = chance.choice((1, 2, 2, 3, 3, 4))
    makers = chance.sample(sorted(_MAKERS), number)
    faults: List[Fault] = []
    for name in makers:
        faults += _MAKERS[name](chance, len(nodes))
    if with_hub:
        faults += _hub(chance)
    if by_file:
        faults.append(Fault(chance.uniform(0.3, 1.5), SERVER, "moves", chance.uniform(0.1, 1.0)))
    if storm:
        nodes = (storm,)
        faults = [Fault(chance.uniform(0.5, 2.0), WORKER, "killed", 0.0, "all") for _ in range(2)]
    planned = Plan(
        seed, tuple(_job(chance) for _ in range(jobs)), nodes, with_hub, by_file,
        same_names=len(nodes) > 1 and chance.random() < 0.15,
        server_point=_point(chance, SERVER_POINTS, 0.25, 12),
        worker_point=_point(chance, WORKER_POINTS, 0.3, 4),
        power_loss=chance.random() < 0.25,
        faults=tuple(sorted(faults)), several=chance.random() < 0.4)
    return _in_time(planned)


def _in_time(planned: Plan) -> Plan:
    """A server cannot tell that the clock was set back while it was away: leases are up to 237 s then, which
    is longer than a run waits. So where it goes away, and something else may end an attempt of which no
    worker tells, the clock is set forward."""
    goes_away = planned.server_point or any(
        fault.whom == SERVER and fault.what in ("killed", "terminated", "moves") for fault in planned.faults)
    all_tell = not planned.worker_point and not planned.same_names and all(
        fault.whom in (CLOCK, SCRIPT) or fault.whom == SERVER and fault.what != "frozen"
        for fault in planned.faults)
    return planned._replace(faults=tuple(
        fault._replace(detail=fault.detail.lstrip("-"))
        if goes_away and not all_tell and fault.whom == CLOCK else fault for fault in planned.faults))


def _job(chance: random.Random) -> Job:
    act = chance.choice(ACTS)
    return Job(act, chance.choice((0.0, 0.1, 0.1, 0.3, 0.6, 1.2, 2.0)), int(chance.random() < 0.25),
               chance.random() < 0.04)


def _point(chance: random.Random, points: Tuple[str, ...], share: float, most: int) -> str:
    named = "%s:%d" % (chance.choice(points), chance.randint(1, most))
    return named if chance.random() < share else ""


# ---- faults, in groups of which a run has a few

def _network(chance: random.Random, _: int) -> List[Fault]:
    """One or two spells of bad weather."""
    return [Fault(chance.uniform(0.0, 1.0), NETWORK, "troubled", chance.uniform(1.0, 3.0),
                  "%.2f %s" % (chance.choice((0.2, 0.5, 0.8)), ",".join(
                      chance.sample(proxy.KINDS, chance.choice((1, 3, len(proxy.KINDS)))))))
            for _ in range(chance.choice((1, 2)))]


def _signalled(whom: str) -> Callable[[random.Random, int], List[Fault]]:
    def make_some(chance: random.Random, nodes: int) -> List[Fault]:
        what = chance.choice(("killed", "killed", "frozen", "terminated"))
        # Longer than a lease: the worker comes back when its job runs elsewhere.
        lasts = chance.choice((0.5, 4.0, 5.5)) if what == "frozen" else chance.choice((0.1, 0.5, 1.0))
        return [Fault(chance.uniform(0.0, 2.0), whom, what, lasts, str(chance.randrange(nodes)))
                for _ in range(chance.choice((1, 1, 2)))]
    return make_some


def _everybody(chance: random.Random, _: int) -> List[Fault]:
    """All machines go at once, as at a power failure of theirs."""
    return [Fault(chance.uniform(0.2, 2.0), WORKER, "killed", 0.2, "all")]


def _disk(chance: random.Random, nodes: int) -> List[Fault]:
    where = chance.choice(("server", "node"))
    return [Fault(chance.uniform(0.0, 1.5), DISK, chance.choice(("full", "full", "read-only")),
                  chance.uniform(0.3, 2.0), where if where == "server" else str(chance.randrange(nodes)))]


def _clock(chance: random.Random, _: int) -> List[Fault]:
    return [Fault(chance.uniform(0.0, 2.0), CLOCK, "set", 0.0, str(chance.choice((-86400, -600, 30, 3600))))]


def _second_server(chance: random.Random, _: int) -> List[Fault]:
    return [Fault(chance.uniform(0.0, 1.5), SERVER, "started twice", 0.0)]


def _hub(chance: random.Random) -> List[Fault]:
    return [Fault(chance.uniform(0.0, 2.0), HUB, chance.choice(("killed", "frozen")),
                  chance.uniform(0.2, 2.0))]


_MAKERS: Dict[str, Callable[[random.Random, int], List[Fault]]] = {
    "network": _network, "worse network": _network, "server": _signalled(SERVER),
    "workers": _signalled(WORKER), "more workers": _signalled(WORKER), "scripts": _signalled(SCRIPT),
    "everybody": _everybody, "disk": _disk, "clock": _clock, "second server": _second_server,
}
