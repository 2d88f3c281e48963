"""What one launch of workers was asked for, checked and ready to use.

The registry keeps it as JSON, so that `restart` and `scale` start workers as they were started.
"""

import errno
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from jd import paths, settings, settingvalues
from jd.auth import checkpointkey
from jd.auth.hubtoken import Access, Grant
from jd.errors import StorageError, UsageError
from jd.fields import check, take, take_number, take_tags
from jd.files import safedirs
from jd.net.finding import published
from jd.net.finding.published import Place
from jd.protocol import FLAGS_JSON, ProtocolError, shown
from jd.worker import publishedlaunch
from jd.worker import snapshot as snapshots
from jd.worker.snapshot import Snapshot

BASE_PATH_AUTO = "auto"
BASE_PATH_ALWAYS = "always"
BASE_PATH_NEVER = "never"

CWD_LAUNCH = "launch"
CWD_JOB = "job"
CWD_SCRIPT = "script"

RESULTS_FROM_FILES = "files"
RESULTS_FROM_STDOUT = "stdout"

_PREFIX = "JD_"
_NEVER_STORED = ("grant", "place")
# Of the batch job or job that a command is typed in, not of a launch.
_OF_THE_MOMENT = ("JD_END_TIME", checkpointkey.VARIABLE)


@dataclass(frozen=True)
class WorkerConfig:
    """The launch arguments of the reference (section 2), after defaults and checks.

    `entry_script` is absolute, `server` a URL with its port. `grace`, `job_timeout`, `min_time`,
    `idle_exit` (the argument idle_timeout=) and `checkpoint_interval` are in seconds, `memory` in bytes.
    `collect`, `gpus` and `threads` are as they were typed, `flags` is one of FLAG_STYLES; `args` are
    words for the script. With `module` it is run as `python -m`, and `entry_script` is the file of that
    module. `python` is absolute, None for the worker's own. `preload` are modules, or "script" for some.
    `pass_api_key` is None where nothing was.
    `collect_limit` is files and bytes. `directory` is where the launch was typed; whether jobs run there
    says `cwd`. With `snapshot=true`, `entry_script` is in the copy that `snapshot` tells of. `environ` is
    the environment that directories and tokens are taken from, and that jobs inherit.

    `server_file` is where `server` stands, with `server=@path`; with `found` it is the access file of the
    experiment, which may be missing. `place` is what that file said. In Hub mode `hub` is the Hub's URL, its
    key is in `environ`, and `grant` is what the Hub gave. Both `place` and `grant` have tokens: they go to
    forked workers, and are never stored.
    """

    experiment: str
    entry_script: Path
    server: str
    machine_type: str = "worker"
    process_id: int = 0
    num_workers: int = 1
    foreground: bool = False
    once: bool = False
    log_dir: Optional[Path] = None
    base_path: str = BASE_PATH_AUTO
    cwd: str = CWD_LAUNCH
    threads: str = ""
    memory: Optional[int] = None
    flags: str = FLAGS_JSON
    args: Tuple[str, ...] = ()
    module: str = ""
    python: Optional[Path] = None
    python_version: str = ""
    warm: bool = False
    preload: Tuple[str, ...] = ()
    grace: float = 20.0
    log_max_bytes: int = 50_000_000
    server_file: Optional[Path] = None
    found: bool = False
    place: Optional[Place] = field(default=None, repr=False, compare=False)
    job_timeout: Optional[float] = None
    min_time: Optional[float] = None
    idle_exit: Optional[float] = None
    exit_when_empty: bool = False
    collect: str = ""
    collect_limit: Tuple[int, int] = settingvalues.collect_limit(settingvalues.COLLECT_LIMIT)
    results_from: str = RESULTS_FROM_FILES
    checkpoint_interval: float = 300.0
    gpus: str = ""
    pass_api_key: Optional[bool] = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    directory: Path = field(default_factory=Path.cwd)
    hub: Optional[str] = None
    tags: Tuple[str, ...] = ()
    snapshot: Optional[Snapshot] = None
    grant: Optional[Grant] = field(default=None, repr=False, compare=False)

    @property
    def hub_access(self) -> Optional[Access]:
        """Hub and key; None without a Hub. Raises UsageError for a key that cannot be used."""
        if self.hub is None:
            return None
        key = settings.value_of(settings.WORKER, "api_key", self.environ)
        if key is None:
            raise UsageError("this launch belongs to the Hub %s, and JD_API_KEY is not set" % self.hub,
                             "set it")
        return Access(self.hub, key)

    @property
    def reached(self) -> Place:
        """The job server as far as it is known: what its file said, else the URL alone."""
        return self.place or Place(self.server, hint=self.unnamed)

    @property
    def unnamed(self) -> str:
        """For messages: that the server is but the default; empty where anything names one."""
        if not self.found or self.place is not None:
            return ""
        return published.nothing_names(self.experiment, self.server_file)

    def log_file(self, worker_id: str) -> Path:
        """The log of one worker of this launch."""
        directory = self.log_dir
        if directory is None:
            directory = paths.log_dir(self.experiment, self.environ)
        return paths.log_file(directory, worker_id)

    def job_dir(self, job_id: int) -> Path:
        """The directory of one job, absolute."""
        return self._experiment_dir / str(job_id)

    @cached_property
    def data_root(self) -> str:
        """What the directories of all experiments are in."""
        return str(paths.data_root(self.environ))

    @cached_property
    def _experiment_dir(self) -> Path:
        return paths.experiment_dir(self.experiment, self.environ).absolute()

    def run_dir(self, job_id: int) -> Path:
        """The directory that the script of one job runs in, absolute."""
        return self.shared_directory or self.job_dir(job_id)

    @property
    def shared_directory(self) -> Optional[Path]:
        """Where all jobs run; None where each has a directory of its own. A snapshot is of the code alone."""
        script = self.entry_script if self.snapshot is None else self.snapshot.of
        return shared_directory(self.cwd, self.directory, script)

    def check_places(self) -> None:
        """Raises UnsafePlace where somebody else could write to what jobs and logs go to, and StorageError
        where this user cannot.

        The cache is checked whenever it is used.
        """
        for purpose, directory in ((safedirs.WORKSPACE, self.job_dir(0).parent),
                                   (safedirs.LOGS, self.log_file("").parent)):
            error = safedirs.problem(directory, purpose)
            if error is not None:
                raise error
            nearest = directory
            while not os.path.lexists(str(nearest)) and nearest != nearest.parent:
                nearest = nearest.parent
            if not os.access(str(nearest), os.W_OK | os.X_OK):
                raise StorageError("nothing can be written in %s%s: %s" % (
                    nearest, "" if nearest == directory else ", where %s has to be" % directory,
                    _why_not_written(nearest)),
                    "log_dir= names another place" if purpose is safedirs.LOGS else
                    "JD_WORKSPACE_PATH names another place" if self.environ.get("JD_CACHE_PATH") else
                    "JD_WORKSPACE_PATH names another place, and JD_CACHE_PATH one for the cache")

    def to_json(self) -> Dict[str, object]:
        """All of it, and of the environment the JD_* variables: it may hold keys and tokens."""
        stored: Dict[str, object] = {name: str(value) if isinstance(value, Path) else value
                  for name, value in self.__dict__.items() if name not in _NEVER_STORED}
        stored["idle_timeout"] = stored.pop("idle_exit")  # as the argument is called
        stored.update(tags=list(self.tags), args=list(self.args), preload=list(self.preload),
                      collect_limit=list(self.collect_limit))
        stored["snapshot"] = None if self.snapshot is None else self.snapshot.to_json()
        stored["environ"] = {name: value for name, value in self.environ.items()
                             if name.startswith(_PREFIX) and name not in _OF_THE_MOMENT}
        theirs = publishedlaunch.names_of(self.experiment, self.server, self.hub, self.log_dir, self.environ)
        return dict(theirs, **stored)


def shared_directory(cwd: str, directory: Path, entry_script: Path) -> Optional[Path]:
    """Where all jobs of a launch run; None with `cwd=job`, as each has a directory of its own then."""
    if cwd == CWD_JOB:
        return None
    return Path(os.path.realpath(str(entry_script.parent))) if cwd == CWD_SCRIPT else directory


def _why_not_written(directory: Path) -> str:
    if not directory.is_dir():
        return os.strerror(errno.ENOTDIR)
    if os.statvfs(str(directory)).f_flag & os.ST_RDONLY:
        return os.strerror(errno.EROFS)
    return os.strerror(errno.EACCES)


def from_json(stored: Mapping[str, Any], environ: Mapping[str, str]) -> WorkerConfig:
    """The configuration that `to_json` gave, or a published client stored. Raises StorageError for any other.

    The JD_* variables are those of the launch; everything else, such as PATH, is that of `environ`.
    """
    try:
        if publishedlaunch.is_published(stored):
            stored = publishedlaunch.translated(stored)
        variables = take(stored, "environ", dict)
        log_dir = take(stored, "log_dir", str, None)
        server_file = take(stored, "server_file", str, None)
        python = take(stored, "python", str, None)
        grace = take_number(stored, "grace", 20.0)
        return WorkerConfig(
            experiment=take(stored, "experiment", str),
            entry_script=Path(take(stored, "entry_script", str)),
            server=take(stored, "server", str),
            machine_type=take(stored, "machine_type", str),
            process_id=publishedlaunch.process_id_in(stored),
            num_workers=take(stored, "num_workers", int),
            foreground=take(stored, "foreground", bool),
            once=take(stored, "once", bool),
            log_dir=None if log_dir is None else Path(log_dir),
            base_path=take(stored, "base_path", str),
            cwd=take(stored, "cwd", str, CWD_LAUNCH),
            threads=take(stored, "threads", str, ""),
            flags=take(stored, "flags", str, FLAGS_JSON),
            args=tuple(check(word, "args", str) for word in take(stored, "args", list, [])),
            module=take(stored, "module", str, ""),
            python=None if python is None else Path(python),
            python_version=take(stored, "python_version", str, ""),
            warm=take(stored, "warm", bool, False),
            preload=tuple(check(name, "preload", str) for name in take(stored, "preload", list, [])),
            memory=take(stored, "memory", int, None),
            grace=20.0 if grace is None else grace,
            log_max_bytes=take(stored, "log_max_bytes", int),
            environ=launch_environ(environ, {str(k): str(v) for k, v in variables.items()}),
            directory=Path(take(stored, "directory", str)),
            server_file=None if server_file is None else Path(server_file),
            found=take(stored, "found", bool, False),
            job_timeout=take_number(stored, "job_timeout"),
            min_time=take_number(stored, "min_time"),
            idle_exit=take_number(stored, "idle_timeout"),
            exit_when_empty=take(stored, "exit_when_empty", bool, False),
            collect=take(stored, "collect", str, ""),
            collect_limit=_limit(stored),
            results_from=take(stored, "results_from", str, RESULTS_FROM_FILES),
            checkpoint_interval=take_number(stored, "checkpoint_interval") or 300.0,
            gpus=take(stored, "gpus", str, ""),
            pass_api_key=take(stored, "pass_api_key", bool, None),
            hub=take(stored, "hub", str, None),
            tags=take_tags(stored, "tags"),
            snapshot=snapshots.from_json(take(stored, "snapshot", dict, None)),
        )
    except ProtocolError as error:
        raise StorageError("its launch configuration was stored by another version (%s)" % error,
                           "stop it, and start it anew with entry_script=") from None


def _limit(stored: Mapping[str, Any]) -> Tuple[int, int]:
    limit = take(stored, "collect_limit", list, [])
    if not limit:
        return WorkerConfig.collect_limit
    if len(limit) != 2 or not all(isinstance(number, int) for number in limit):
        raise ProtocolError("collect_limit is %s" % shown(limit))
    return limit[0], limit[1]


def launch_environ(environ: Mapping[str, str], variables: Mapping[str, str]) -> Dict[str, str]:
    """`environ` with exactly these JD_* variables."""
    others = {name: value for name, value in environ.items()
              if not name.startswith(_PREFIX) or name in _OF_THE_MOMENT}
    return dict(others, **variables)


def with_absolute_paths(environ: Mapping[str, str], directory: Path) -> Dict[str, str]:
    """`environ` with the JD_* variables that are paths made absolute.

    A worker leaves the directory that it was started in, and restarts come from another.
    """
    absolute = dict(environ)
    for setting in settings.WORKER:
        given = environ.get(setting.variable or "", "").strip()
        if given and settingvalues.names_path(setting.parse, given) and not given.startswith("~"):
            absolute[str(setting.variable)] = os.path.join(str(directory), given)
    return absolute
