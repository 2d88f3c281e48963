"""Tells when a job wrote into a directory in which jobs of other workers run too.

Scripts write `model.txt` where they run, and so do those beside them: each then reads, and uploads, what the
last one wrote, and all are done. Who wrote a file cannot be told, only that it changed while the job ran. The
directory and those right below it are looked at before and afterwards, for a moment only: what is too large
for that, or on a slow network, is not compared. Where the next job follows at once, the look after the one
before it will do.
"""

import os
import re
import time
from pathlib import Path
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from jd import paths
from jd.errors import JdError, UsageError
from jd.node.identity import Here
from jd.worker.attempt.files import collect
from jd.worker.config import WorkerConfig
from jd.worker.local import neighbours
from jd.worker.local.registry import Registry

MAX_ENTRIES = 2000
MAX_SECONDS = 0.2
MAX_NAMED = 3
FRESH = 0.1  # seconds for which a look at the end of a job is good for the beginning of the next one
MAX_KNOWN = 2 * MAX_ENTRIES  # names of which it is remembered whether they are looked at
# Not of a job, or not of this one: what people edit, Python's own, the output of a batch job.
_PASSED_OVER = re.compile(r"\..*|.*\.py[co]?|.*\.ipynb|__pycache__|jd_data|jd_worker_.*\.log.*"
                          r"|slurm-.*\.out|nohup\.out", re.DOTALL)

Version = Tuple[int, int, int]  # inode, size, time of the last change in ns
Clock = Callable[[], float]


class Look(NamedTuple):
    """Files by directory, "" for the uppermost one; those directories only that were read whole. `below` are
    all that lie in the uppermost one."""

    files: Dict[str, Dict[str, Version]]
    below: FrozenSet[str]


class SharedDirectory:
    """The directory of all jobs of one worker."""

    def __init__(self, config: WorkerConfig, log: Callable[[str], None], clock: Clock = time.monotonic,
                 wall_clock: Clock = time.time) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._wall_clock = wall_clock
        self._told = False
        self._latest: Optional[Tuple[float, Look]] = None  # and when it began
        self.directory = config.shared_directory
        self._ignores: Optional[_Ignored] = None  # found out for the first job

    def watch(self, job_id: int) -> "Watch":
        """For one attempt of a job."""
        return Watch(self, job_id)

    def look(self) -> Optional[Look]:
        """The files as they are now; None where they are nobody's business. Nothing is raised."""
        if self.directory is None:
            return None
        if self._ignores is None:
            self._ignores = _Ignored(self._config, self.directory)
        if self._ignores.everything:
            return None
        began = self._clock()
        found = look(str(self.directory), self._ignores, self._clock)
        self._latest = began, found
        return found

    def as_just_seen(self) -> Optional[Look]:
        """The same, or the latest one where that was just before."""
        if self._latest is not None and self._clock() < self._latest[0] + FRESH:
            return self._latest[1]
        return self.look()

    def told(self, job_id: int, names: List[str]) -> str:
        """For the history of a job during which these files changed: if other workers share the directory, or
        if results are among them, which nobody collects there.

        Said in the log once. Nothing is raised.
        """
        if not names:
            return ""
        if not self._is_shared():
            return self._of_results([name for name in collect.RESULTS if name in names])
        more = len(names) - MAX_NAMED
        shown = ", ".join(name[:80] for name in names[:MAX_NAMED])
        shown += " and %d more" % more if more > 0 else ""
        note = ("files changed in %s while it ran: %s; other workers run there too; cwd=job gives each job a "
                "directory of its own" % (self.directory, shown))
        if not self._told:
            self._told = True
            self._log("job %d: %s (said once here, and in the history of each such job)" % (job_id, note))
        return note

    def _of_results(self, names: List[str]) -> str:
        if not names:
            return ""
        return ("%s changed in %s while it ran, and only those in the job's directory become results: "
                "cwd=job runs the script there" % (collect.joined(names), self.directory))

    def _is_shared(self) -> bool:
        here = Here()
        try:
            rows = Registry(self._config.experiment, self._config.environ).rows()
        except JdError:
            return self._config.num_workers > 1
        own = {row.worker_id for row in rows if row.identity == here.own}
        there = neighbours.by_directory(rows, here, self._wall_clock()).get(Path(str(self.directory)), [])
        return any(row.worker_id not in own for row in there)


class Watch:
    """What changes while one attempt of a job runs: `begin`, `end`, and what there is to say."""

    def __init__(self, shared: SharedDirectory, job_id: int) -> None:
        self._shared = shared
        self._job_id = job_id
        self._before: Optional[Look] = None
        self._changed: Optional[List[str]] = None  # after its end, until it is told

    def begin(self) -> None:
        """The script starts right after this."""
        self._before = self._shared.as_just_seen()

    def end(self) -> bool:
        """It has ended. Whether anything has changed."""
        after = self._shared.look() if self._before is not None else None
        self._changed = changed(self._before, after) if self._before is not None and after is not None else []
        return bool(self._changed)

    def changes(self) -> str:
        """It has ended: what the history of the job is to say. It may have to wait for a disk."""
        if self._changed is None:
            self.end()
        names, self._changed = self._changed or [], None
        return self._shared.told(self._job_id, names)


class _Ignored:
    """What in a directory is not of its jobs: what workers and servers keep, what people edit."""

    def __init__(self, config: WorkerConfig, directory: Path) -> None:
        self._top = os.path.realpath(str(directory))
        self._known: Dict[str, bool] = {}
        workspace = os.path.realpath(str(paths.data_root(config.environ)))
        self._kept = {workspace, *(os.path.realpath(str(path)) for path in _kept(config))}
        self._outputs = [pattern for pattern in map(self._output, (1, 2)) if pattern is not None]
        # Within the workspace there are the files of jobs alone.
        self.everything = (self._top + os.sep).startswith(workspace + os.sep)

    def __call__(self, name: str) -> bool:
        """Whether to pass over a file or directory, named relative to the uppermost one."""
        ignored = self._known.get(name)
        if ignored is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            ignored = self._known[name] = self._judged(name)
        return ignored

    def _judged(self, name: str) -> bool:
        return (_PASSED_OVER.fullmatch(os.path.basename(name)) is not None
                or os.path.join(self._top, name) in self._kept
                or any(pattern.fullmatch(name) for pattern in self._outputs))

    def _output(self, number: int) -> "Optional[re.Pattern[str]]":
        """What the worker itself prints, and its neighbours in an array of batch jobs, whose files differ in
        numbers."""
        try:
            path = os.path.relpath(os.readlink("/proc/self/fd/%d" % number), self._top)
        except OSError:
            return None
        return None if path.startswith(os.pardir) else re.compile(
            re.sub(r"[0-9]+", "[0-9]+", re.escape(path)))


def _kept(config: WorkerConfig) -> List[Path]:
    found = [config.log_file("").parent, paths.cache_root(config.environ)]
    try:
        found.append(paths.access_dir(config.environ))
    except UsageError:
        pass  # no home directory
    return found


def look(top: str, ignores: Callable[[str], bool], clock: Clock) -> Look:
    """The regular files in `top` and right below. It ends after MAX_ENTRIES, or MAX_SECONDS."""
    until, left = clock() + MAX_SECONDS, MAX_ENTRIES
    files: Dict[str, Dict[str, Version]] = {}
    todo = [""]
    for place in todo:
        found: Dict[str, Version] = {}
        try:
            with os.scandir(os.path.join(top, place)) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0 or clock() > until:
                        return Look(files, frozenset(todo[1:]))
                    name = place + os.sep + entry.name if place else entry.name
                    if ignores(name):
                        continue
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        found[name] = (status.st_ino, status.st_size, status.st_mtime_ns)
                    elif not place and entry.is_dir(follow_symlinks=False):
                        todo.append(name)
        except OSError:
            continue  # it went away, or is not ours to read
        files[place] = found
    return Look(files, frozenset(todo[1:]))


def changed(before: Look, after: Look) -> List[str]:
    """Files that are new or other than before, by name, as far as both looks have read their directory."""
    names: List[str] = []
    for place, found in after.files.items():
        known = before.files.get(place)
        if known is None:
            if "" not in before.files or place in before.below:
                continue  # it was there, and not read
            known = {}
        names += [name for name, version in found.items() if known.get(name) != version]
    return sorted(names)
