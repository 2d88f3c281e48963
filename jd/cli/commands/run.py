"""`jd_worker_cli expId=... entry_script=...`: check everything, then start workers."""

import os
import stat
from pathlib import Path
from typing import Any, Dict, Mapping
from urllib.parse import urlsplit, urlunsplit

from jd import settings
from jd.cli.tokens import CommandLine, no_words
from jd.errors import UsageError
from jd.worker.config import WorkerConfig

_SERVER = next(setting for setting in settings.WORKER if setting.name == "server")


def run(line: CommandLine, environ: Mapping[str, str]) -> int:
    """Start the workers that the line asks for; returns when they have ended."""
    no_words(line)
    config = configuration(line.arguments, environ)
    from jd.worker.launcher import launch
    return launch(config)


def configuration(arguments: Mapping[str, str], environ: Mapping[str, str]) -> WorkerConfig:
    """The launch configuration from arguments and variables. Raises UsageError."""
    values = settings.resolve(settings.WORKER, arguments, environ)
    _required(values, "expId", "JD_EXP_ID", "expId=digits-tune")
    _required(values, "entry_script", "JD_ENTRY_SCRIPT", "entry_script=train.py")
    if not values["foreground"]:
        raise UsageError("workers run in the foreground only; add foreground=true")
    given = settings.lookup(_SERVER, arguments, environ)
    if values["api_key"] is not None and given is None:
        raise UsageError("an API key belongs to a Hub, and this launch names no server; "
                         "give server=, or unset JD_API_KEY for a server on this machine")
    log_dir = values["log_dir"]
    return WorkerConfig(
        experiment=values["expId"],
        entry_script=checked_script(values["entry_script"]),
        server=with_port(values["server"], values["port"]),
        machine_type=values["machine_type"],
        process_id=values["process_id"],
        num_workers=values["num_workers"],
        foreground=values["foreground"],
        once=values["once"],
        log_dir=None if log_dir is None else log_dir.absolute(),
        base_path=values["base_path"],
        grace=values["grace"],
        log_max_bytes=int(values["JD_LOG_MAX_MB"] * 1_000_000),
        environ=dict(environ),
    )


def checked_script(path: Path) -> Path:
    """The entry script as an absolute path. Raises UsageError unless it is a readable file."""
    script = path.absolute()
    try:
        mode = os.stat(str(script)).st_mode
    except OSError as error:
        raise UsageError("entry_script=: cannot find %s: %s; give the path of a Python script"
                         % (script, error.strerror)) from None
    if not stat.S_ISREG(mode):
        raise UsageError("entry_script=: %s is %s; give the path of a Python script" % (
            script, "a directory" if stat.S_ISDIR(mode) else "not a regular file"))
    if not os.access(str(script), os.R_OK):
        raise UsageError("entry_script=: %s cannot be read by this user (uid %d); check its mode"
                         % (script, os.getuid()))
    return script


def with_port(server: str, port: int) -> str:
    """`server` with `port` where it has none (reference, section 2, `port=`)."""
    parts = urlsplit(server)
    if parts.port is not None:
        return server
    return urlunsplit(parts._replace(netloc="%s:%d" % (parts.netloc.rstrip(":"), port)))


def _required(values: Dict[str, Any], name: str, variable: str, example: str) -> None:
    if values[name] is None:
        raise UsageError("%s= is missing; give it, or set %s, for example %s"
                         % (name, variable, example))
