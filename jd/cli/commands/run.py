"""`jd_worker_cli expId=... entry_script=...`: check everything, then start workers."""

import os
import stat
from pathlib import Path
from typing import Any, Dict, Mapping

from jd import settings
from jd.auth import hubtoken
from jd.cli.context import Context
from jd.errors import UsageError
from jd.worker.config import WorkerConfig, with_absolute_paths
from jd.worker.renewal import authorised


def run(context: Context) -> int:
    """Start the workers that the line asks for, in the background unless `foreground=true`.

    In the background it returns when they have begun; in the foreground when they have ended.
    """
    context.words_exactly(0)
    config = authorised(configuration(context.arguments, context.environ))
    if config.foreground:
        from jd.worker.launcher import launch
        return launch(config)
    from jd.cli.starting import announce
    from jd.worker import background
    return announce(config, background.start(config, range(config.num_workers), context.here))


def configuration(arguments: Mapping[str, str], environ: Mapping[str, str]) -> WorkerConfig:
    """The launch configuration from arguments and variables. Raises UsageError.

    In Hub mode `server` is but the default, until the launch is authorised.
    """
    values = settings.resolve(settings.WORKER, arguments, environ)
    _required(values, "expId", "JD_EXP_ID", "expId=digits-tune")
    _required(values, "entry_script", "JD_ENTRY_SCRIPT", "entry_script=train.py")
    hub = hubtoken.access(arguments, environ)
    log_dir = values["log_dir"]
    directory = _current_directory()
    return WorkerConfig(
        experiment=values["expId"],
        entry_script=checked_script(values["entry_script"]),
        server=settings.with_port(values["server"], values["port"]),
        machine_type=values["machine_type"],
        process_id=values["process_id"],
        num_workers=values["num_workers"],
        foreground=values["foreground"],
        once=values["once"],
        log_dir=None if log_dir is None else log_dir.absolute(),
        base_path=values["base_path"],
        grace=values["grace"],
        log_max_bytes=int(values["JD_LOG_MAX_MB"] * 1_000_000),
        environ=_launch_environ(arguments, environ, directory),
        directory=directory,
        hub=None if hub is None else hub.url,
    )


def _launch_environ(arguments: Mapping[str, str], environ: Mapping[str, str],
                    directory: Path) -> Dict[str, str]:
    """The variables of the launch; what was typed for the Hub counts like its variables."""
    variables = with_absolute_paths(environ, directory)
    for name, variable in (("api_key", "JD_API_KEY"), ("hub", "JD_HUB_URL")):
        if arguments.get(name):
            variables[variable] = arguments[name]
    return variables


def _current_directory() -> Path:
    try:
        return Path(os.getcwd())
    except OSError as error:
        raise UsageError("the current directory cannot be used: %s; cd to one that exists, jobs "
                         "run in it" % error.strerror) from None


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


def _required(values: Dict[str, Any], name: str, variable: str, example: str) -> None:
    if values[name] is None:
        raise UsageError("%s= is missing; give it, or set %s, for example %s"
                         % (name, variable, example))
