"""Launch configurations as published clients store them, in the same column of a shared registry as ours.

Their `scale` and `restart` start a worker out of any row, and their `stop` reads there where the server is;
so do ours. Thus ours are stored under both names, and theirs are read under ours.
"""

import os
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from jd import paths
from jd.fields import take
from jd.protocol import FLAGS_PYTHON

_BASE_PATH = "never"  # they add no such option to a script's command line
_LOG_BYTES = 50_000_000
_SAID_TWICE = frozenset(("exp_id", "base_url", "hub_url", "api_key", "workspace_parent", "workspace_path",
                         "cache_parent", "log_dir_override"))


def names_of(experiment: str, server: str, hub: Optional[str], log_dir: Optional[Path],
             environ: Mapping[str, str]) -> Dict[str, object]:
    """What a published client (1.15 to 1.29) needs of a launch of ours to start another worker like it,
    besides what it calls as we do. The key of a Hub is among it, as it is in its own configurations."""
    return {
        "exp_id": experiment,
        "base_url": server.rstrip("/"),
        "hub_url": hub or "",
        "api_key": environ.get("JD_API_KEY", "").strip() if hub else "",
        "workspace_parent": str(paths.data_root(environ).parent),
        "workspace_path": str(paths.data_root(environ)),
        "cache_parent": str(paths.cache_root(environ)),
        "log_dir_override": None if log_dir is None else str(log_dir),
    }


def without_names(stored: Mapping[str, Any]) -> Dict[str, Any]:
    """What is shown of a configuration: of one of ours not the names that say the same once more."""
    if is_published(stored):
        return dict(stored)
    return {name: value for name, value in stored.items() if name not in _SAID_TWICE}


def is_published(stored: Mapping[str, Any]) -> bool:
    """Whether a published client stored it."""
    return "experiment" not in stored and "exp_id" in stored


def translated(stored: Mapping[str, Any]) -> Dict[str, object]:
    """A configuration of a published client under our names. Scripts get their parameters as they did there,
    and run in the current directory, since it does not tell which was theirs. Raises ProtocolError."""
    experiment, log_dir = take(stored, "exp_id", str), take(stored, "log_dir_override", str, None)
    script = os.path.abspath(os.path.expanduser(take(stored, "entry_script", str)))
    key = take(stored, "api_key", str, "")
    environ = {"JD_WORKSPACE_PATH": take(stored, "workspace_parent", str, ""),
               "JD_CACHE_PATH": take(stored, "cache_parent", str, ""), "JD_API_KEY": key}
    return {
        "experiment": experiment,
        "entry_script": script,
        "server": take(stored, "base_url", str),
        "machine_type": take(stored, "machine_type", str, "worker"),
        "process_id": process_id_in(stored),
        "num_workers": 1,
        "foreground": False,
        "once": stored.get("once") is True,
        "log_dir": None if log_dir is None else os.path.join(log_dir, experiment),
        "base_path": _BASE_PATH,
        "flags": FLAGS_PYTHON,
        "log_max_bytes": _LOG_BYTES,
        "directory": os.getcwd(),
        "hub": take(stored, "hub_url", str, "") if key else None,
        "environ": {name: value for name, value in environ.items() if value},
    }


def process_id_in(stored: Mapping[str, Any]) -> int:
    """They store the number as text, also where they have started a worker out of a configuration of ours.

    Raises ProtocolError.
    """
    given = stored.get("process_id", 0)
    text = isinstance(given, str) and given.isdigit() and len(given) < 10
    return int(given) if text else take(stored, "process_id", int, 0)
