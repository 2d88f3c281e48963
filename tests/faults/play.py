"""Plays a plan: starts the programs, has the faults happen, and lets everything come to its end.

What was seen on the way goes into `Played`; what must hold afterwards is in `invariants.py`.
"""

import json
import os
import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from tests.faults import powerloss
from tests.faults.disks import Disk
from tests.faults.plan import CLOCK, DISK, HUB, NETWORK, SCRIPT, SERVER, WORKER, Fault, Plan
from tests.faults.programs import Hub, Node, Program, Server
from tests.faults.proxy import Proxy, Weather

BEGIN = 20.0  # seconds until the first job has begun, at most
SETTLE = 60.0  # seconds in which everything has come to its end, once there are no more faults
RESTART = 0.3  # seconds after which a launch that has died is started again
LOOK = 0.03
SIGNALS = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM, "frozen": signal.SIGSTOP}


class Played(NamedTuple):
    """What a run has left. `seen` are violations that were met while it was played."""

    plan: Plan
    directory: Path
    data: Path  # of the server
    homes: Tuple[Path, ...]
    log: Path
    copies: Tuple[powerloss.Copy, ...]
    met: Dict[str, int]  # requests by the trouble that they met
    killed: Dict[str, int]  # how often the server, or a node, has ended by SIGKILL
    seen: Tuple[str, ...]


def play(plan: Plan, directory: Path, mounting: bool) -> Played:
    """Play it in a directory that is empty. `mounting`: disks can be mounted, so that faults may happen to
    them."""
    with ExitStack() as stack:
        return _Stage(plan, directory, mounting, stack).play()


class _Stage:
    """The programs of a run, and what happens to them."""

    def __init__(self, plan: Plan, directory: Path, mounting: bool, stack: ExitStack) -> None:
        self.plan = plan
        self.directory = directory
        self.log = directory / "runs.log"
        self.clock = directory / "clock"
        self.seen: List[str] = []
        self.copies: List[powerloss.Copy] = []
        self._chance = random.Random(plan.seed + 1)
        self._due: List[Tuple[float, Callable[[], None]]] = []  # what ends a fault, and when
        self._ended: Dict[Program, float] = {}  # when it was seen that a program has ended
        self._server_is_down = False  # as long as a fault says
        self._frozen: List[int] = []
        disks = {fault.detail for fault in plan.faults if fault.whom == DISK and mounting}
        self.proxy = stack.enter_context(Proxy(plan.seed))
        self.disks: Dict[str, Disk] = {}
        for name in ["server"] + [str(number) for number in range(len(plan.nodes))]:
            place = directory / (name if name == "server" else "node" + name)
            place.mkdir()
            self.disks[name] = stack.enter_context(Disk(place, name in disks))
        self.hub: Optional[Hub] = None
        self.server = self._make_server()
        self.nodes = [self._make_node(number) for number in range(len(plan.nodes))]
        stack.callback(self._end_all)

    def _make_server(self) -> Server:
        jobs = self.directory / "jobs.json"
        jobs.write_text(json.dumps([dict(job._asdict(), n=n) for n, job in enumerate(self.plan.jobs, 1)]))
        words: List[Any] = ["--jobs", jobs]
        environ = self._surroundings()
        if self.plan.with_hub:
            self.hub = Hub(self.directory, self.clock)
            self.hub.begin()
            words += ["--hub", self.hub.url, "--public-url", self.proxy.url]
            environ["JD_API_KEY"] = self.hub.key
        return Server(self.directory, self.directory / "server" / "workspace", *words, **environ)

    def _surroundings(self) -> Dict[str, Any]:
        environ: Dict[str, Any] = {"FAULTS_CLOCK": self.clock}
        if self.plan.several:
            environ["FAULTS_SEVERAL"] = "1"
        return environ

    def _make_node(self, number: int) -> Node:
        environ = self._surroundings()
        where = "server=" + self.proxy.url
        if self.hub is not None:
            where = ""
            environ.update(JD_API_KEY=self.hub.key, JD_HUB_URL=self.hub.url)
        elif self.plan.by_file:
            where = "server=@%s" % (self.directory / "where")
        if self.plan.same_names:
            environ["FAULTS_WORDS"] = "twin double pair copy mirror clone match like same equal peer alike"
        return Node(self.directory / ("node%d" % number), self.plan.nodes[number], where, self.log, **environ)

    # ---- the run

    def play(self) -> Played:
        self._publish()
        self._start_server()
        for node in self.nodes:
            node.begin(self._point_of(node))
        self._until(lambda: self.log.exists() or self._all_over(), BEGIN, "no job has begun")
        began = time.monotonic()
        happenings = [(began + fault.at, fault) for fault in self.plan.faults]
        photographs = [began + self._chance.uniform(0.2, 3.0) for _ in range(3 * self.plan.power_loss)]
        while happenings or self._due or photographs:
            self._look_after()
            now = time.monotonic()
            for moment, fault in [one for one in happenings if one[0] <= now]:
                happenings.remove((moment, fault))
                self._happen(fault)
            for photograph in [one for one in photographs if one <= now]:
                photographs.remove(photograph)
                self._photograph()
            time.sleep(LOOK)
        self._settle()
        programs: Dict[str, Program] = {"server": self.server}
        programs.update({node.home.name: node for node in self.nodes})
        killed = {name: program.times_killed for name, program in programs.items()}
        homes = tuple(node.home for node in self.nodes)
        return Played(self.plan, self.directory, self.server.data, homes, self.log, tuple(self.copies),
                      self.proxy.met, killed, tuple(self.seen))

    def _until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> bool:
        """Whether it has come about in time; that it has not is a violation."""
        deadline = time.monotonic() + seconds
        while not condition():
            self._look_after()
            if time.monotonic() > deadline:
                self.seen.append("%s within %g s: %s" % (otherwise, seconds, self.server.counts()))
                return False
            time.sleep(LOOK)
        return True

    def _all_over(self) -> bool:
        counts = self.server.counts()
        return bool(counts) and set(counts) <= {"DONE", "ABORTED"}

    def _look_after(self) -> None:
        """End faults whose time has come, and start again what has died, as schedulers and people do."""
        now = time.monotonic()
        for moment, action in [one for one in self._due if one[0] <= now]:
            self._due.remove((moment, action))
            action()
        programs: List[Program] = [self.server, *self.nodes]
        for program in programs:
            if program.runs or program is self.server and self._server_is_down:
                continue
            if now - self._ended.setdefault(program, now) >= RESTART:
                self._ended.pop(program)
                self._start_again(program)

    def _start_again(self, program: Program) -> None:
        program.gone()
        if program is self.server:
            self._start_server()
        elif isinstance(program, Node) and not self._all_over():
            program.begin(self._point_of(program))

    def _point_of(self, program: Program) -> str:
        """Where it is to end by itself: once."""
        point = {self.server: self.plan.server_point, self.nodes[0]: self.plan.worker_point}.get(program, "")
        return "" if program.times_killed else point

    def _start_server(self) -> None:
        self.proxy.target = None
        self.server.begin(self._point_of(self.server))
        self.proxy.target = self.server.port

    def _publish(self) -> None:
        """Where the server is, for workers that look into a file."""
        draft = self.directory / "where.new"
        draft.write_text(self.proxy.url + "\n")
        os.replace(str(draft), str(self.directory / "where"))

    # ---- faults

    def _happen(self, fault: Fault) -> None:
        {NETWORK: self._network, SERVER: self._on_server, HUB: self._on_hub, WORKER: self._on_worker,
         SCRIPT: self._on_script, DISK: self._on_disk, CLOCK: self._on_clock}[fault.whom](fault)

    def _later(self, fault: Fault, action: Callable[[], None]) -> None:
        self._due.append((time.monotonic() + fault.lasts, action))

    def _network(self, fault: Fault) -> None:
        share, _, kinds = fault.detail.partition(" ")
        self.proxy.weather = Weather(tuple(kinds.split(",")), float(share))
        self._later(fault, self.proxy.calm)

    def _on_server(self, fault: Fault) -> None:
        if fault.what == "started twice":
            self._start_twice()
        elif fault.what == "frozen":
            self._freeze(self.server, fault)
        else:
            self._server_is_down = True
            self.proxy.target = None
            self._end(self.server, fault.what)
            if fault.what == "moves":
                self.proxy.move()
                self._publish()
            self._later(fault, self._server_is_back)

    def _server_is_back(self) -> None:
        self._server_is_down = False
        if not self.server.runs:
            self._start_again(self.server)

    def _on_hub(self, fault: Fault) -> None:
        assert self.hub is not None
        if fault.what == "frozen":
            self._freeze(self.hub, fault)
        else:
            self.hub.gone()
            self._later(fault, self.hub.begin)

    def _on_worker(self, fault: Fault) -> None:
        if fault.detail == "all":
            for node in self.nodes:
                node.wipe()
            return
        node = self.nodes[int(fault.detail)]
        if not node.runs or node.popen is None:
            return
        workers = _workers_of(node.popen.pid) if self.plan.nodes[int(fault.detail)] > 1 else []
        self._signal(self._chance.choice([node.popen.pid, *workers]), fault)

    def _on_script(self, fault: Fault) -> None:
        running = self._scripts()
        if running:
            self._signal(self._chance.choice(running), fault)

    def _on_disk(self, fault: Fault) -> None:
        disk = self.disks[fault.detail]
        if fault.what == "full":
            disk.full()
            self._later(fault, disk.relieved)
        else:
            disk.read_only()
            self._later(fault, disk.writable)

    def _on_clock(self, fault: Fault) -> None:
        self.clock.write_text(fault.detail)

    def _signal(self, pid: int, fault: Fault) -> None:
        number = SIGNALS[fault.what]
        _send(pid, number)
        if number == signal.SIGSTOP:
            self._frozen.append(pid)
            self._later(fault, lambda: self._thaw(pid))

    def _thaw(self, pid: int) -> None:
        self._frozen.remove(pid)
        _send(pid, signal.SIGCONT)

    def _freeze(self, program: Program, fault: Fault) -> None:
        if program.runs and program.popen is not None:
            self._signal(program.popen.pid, fault)

    def _end(self, program: Program, what: str) -> None:
        if what == "terminated":
            program.signal(signal.SIGTERM)
            _wait(program, 15)
        program.gone()

    def _start_twice(self) -> None:
        """A second server on the same directory is refused while there is a first."""
        second = Server(self.directory, self.server.data.parent)
        second.said = self.directory / "second.err"
        second.begin()
        if self.server.runs and second.port is not None:
            self.seen.append("two servers serve one directory")
        second.gone()

    def _photograph(self) -> None:
        if self.server.runs and self.server.popen is not None and self.server.port is not None:
            number = len(self.copies)
            self.copies.append(powerloss.take(
                self.server.data / "meta", self.directory / ("copy%d" % number), self.log, self._chance,
                self.server.popen.pid, torn=number % 2 == 1))

    def _scripts(self) -> List[int]:
        notes = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        over = {(note["job"], note["attempt"]) for note in notes if note["what"] in ("ended", "failed")}
        return [note["pid"] for note in notes if note["what"] == "began"
                and (note["job"], note["attempt"]) not in over and _is_ours(note["pid"], self.directory)]

    # ---- the end

    def _settle(self) -> None:
        """No more faults: everything comes to its end by itself."""
        self.proxy.calm()
        for disk in self.disks.values():
            disk.writable()
            disk.relieved()
        over = self._until(self._all_over, SETTLE, "not all jobs are over")
        for node in self.nodes if over else ():
            self._leave(node)
        self._end_server()
        if any((self.server.data / "data" / ".incoming").iterdir()):
            self._start_server()  # what could not be removed goes at the next start
            self._end_server()

    def _end_server(self) -> None:
        self.server.signal(signal.SIGTERM)
        if not _wait(self.server, 20):
            self.seen.append("the server does not end")
        self.server.gone()

    def _leave(self, node: Node) -> None:
        """Its workers leave as no job is left. What killed ones have left is for the next one."""
        if not _wait(node, SETTLE):
            self.seen.append("the workers of %s do not leave" % node.home.name)
        node.gone()
        if node.times_killed:
            _age(node.home)
            node.begin()
            if not _wait(node, SETTLE):
                self.seen.append("a last worker of %s does not leave" % node.home.name)
            node.gone()

    def _end_all(self) -> None:
        for pid in self._frozen:
            _send(pid, signal.SIGCONT)
        for node in self.nodes:
            node.wipe()
        self.server.gone()
        if self.hub is not None:
            self.hub.gone()


def _wait(program: Program, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while program.runs:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK)
    return True


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _workers_of(launch: int) -> List[int]:
    """The processes that a launch of several workers has forked; its warden is one of them."""
    try:
        text = Path("/proc/%d/task/%d/children" % (launch, launch)).read_text()
    except OSError:
        return []
    return [int(pid) for pid in text.split()]


def _age(home: Path) -> None:
    """Have all that lies there be two days old: then no draft is anybody's, and no dead worker delivers."""
    then = time.time() - 2 * 86400
    for place, directories, names in os.walk(str(home), topdown=False):
        for name in directories + names:
            os.utime(os.path.join(place, name), (then, then), follow_symlinks=False)


def _is_ours(pid: int, directory: Path) -> bool:
    try:
        return str(directory).encode() in Path("/proc/%d/environ" % pid).read_bytes()
    except OSError:
        return False
