"""Variables to directories, in one place. Nothing here creates or touches a file.

Library reference, sections 2, 3, 6 and 7. Every function takes the environment to read, so that
a worker and its tests can ask about another one's.
"""

from __future__ import annotations

import os

from jd.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Mapping

    Environ = Mapping[str, str]


def home(environ: Environ = os.environ) -> Path:
    """The user's home directory: $HOME, or what the password database says.

    Raises UsageError where neither knows (a container with a random uid and no HOME).
    """
    from pathlib import Path
    return Path(_home(environ))


def _home(environ: Environ) -> str:
    if environ.get("HOME"):
        return environ["HOME"]
    try:
        import pwd  # seldom needed; Path.home() takes an empty HOME for /
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise UsageError("no home directory: HOME is not set and uid %d has no passwd entry" % os.getuid(),
                         "set HOME, or both JD_WORKSPACE_PATH and JD_CACHE_PATH") from None


def _directory(environ: Environ, variable: str, default: str) -> Path:
    from pathlib import Path
    return Path(_place(environ, variable, default))


def _place(environ: Environ, variable: str, default: str) -> str:
    given = environ.get(variable, "").strip()
    if not given:
        return os.path.join(_home(environ), default)
    if given == "~" or given.startswith("~/"):
        return os.path.join(_home(environ), given[2:])
    return os.path.abspath(given)


def data_root(environ: Environ = os.environ) -> Path:
    """`~/jd_data`, or `<JD_WORKSPACE_PATH>/jd_data`."""
    return _directory(environ, "JD_WORKSPACE_PATH", "") / "jd_data"


def experiment_dir(experiment: str, environ: Environ = os.environ) -> Path:
    """What all jobs of an experiment share on this machine."""
    return data_root(environ) / experiment


def job_dir(experiment: str, job_id: int, environ: Environ = os.environ) -> Path:
    """The directory of one job."""
    return experiment_dir(experiment, environ) / str(job_id)


def log_dir(experiment: str, environ: Environ = os.environ) -> Path:
    """Where worker logs go when neither `log_dir=` nor JD_LOG_DIR says otherwise."""
    return experiment_dir(experiment, environ) / "jd_worker_logs"


def log_file(directory: Path, worker_id: str) -> Path:
    """The log of one worker in `directory`."""
    return directory / ("jd_worker_%s.log" % worker_id)


def cache_root(environ: Environ = os.environ) -> Path:
    """`~/.jd_cache`, or JD_CACHE_PATH: what a worker keeps about itself."""
    return _directory(environ, "JD_CACHE_PATH", ".jd_cache")


def cache_place(environ: Environ = os.environ) -> str:
    """The same as text, for a command that only shows it."""
    return _place(environ, "JD_CACHE_PATH", ".jd_cache")


def access_dir(environ: Environ = os.environ) -> Path:
    """`~/.jd/servers`, or JD_ACCESS_DIR: where the access files of one's servers are."""
    return _directory(environ, "JD_ACCESS_DIR", os.path.join(".jd", "servers"))


def experiment_cache(experiment: str, environ: Environ = os.environ) -> Path:
    """The directory of the worker registry of one experiment."""
    return cache_root(environ) / ".cache" / experiment


def snapshots_dir(experiment: str, environ: Environ = os.environ) -> Path:
    """The copies that launches with `snapshot=true` run."""
    return experiment_cache(experiment, environ) / "snapshots"


def outbox_root(environ: Environ = os.environ) -> Path:
    """The outboxes of all experiments in the cache. They are beside the registries, since published clients
    remove the directory of a registry with all that is in it."""
    return cache_root(environ) / "outbox"


def lasting_outbox_roots(environ: Environ = os.environ) -> list[tuple[Path, Path]]:
    """Where results wait that must outlast an allocation and its scratch, the best place first, each with the
    directory that must be there: JD_ACCESS_DIR where that is set, which all nodes share, then the home."""
    found: list[tuple[Path, Path]] = []
    if environ.get("JD_ACCESS_DIR", "").strip():
        found.append((access_dir(environ) / "outbox", access_dir(environ)))
    try:
        found.append((home(environ) / ".jd" / "outbox", home(environ)))
    except UsageError:
        pass
    return found


def old_outbox_dir(experiment: str, environ: Environ = os.environ) -> Path:
    """Where earlier versions had the outbox of an experiment."""
    return experiment_cache(experiment, environ) / "outbox"
