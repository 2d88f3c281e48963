"""`jd_worker_cli expId=... entry_script=...`: check everything, then start workers."""

import os
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from jd import settings, settingvalues
from jd.auth import hubtoken
from jd.cli.catalog import argument
from jd.cli.context import Context
from jd.cli.launching import entryscript
from jd.errors import UsageError
from jd.net.finding import accessfile, published
from jd.net.peer.portowner import VARIABLE
from jd.worker.attempt.calling.flags import WITH_BASE_PATH
from jd.worker.config import BASE_PATH_ALWAYS, WorkerConfig, with_absolute_paths
from jd.worker.launch.servercheck import checked, wait_for_answer


def run(context: Context) -> int:
    """Start the workers that the line asks for, in the background unless `foreground=true`.

    In the background it returns when they have begun; in the foreground when they have ended.
    """
    context.words_exactly(0)
    _pass_over(context.environ)
    config = checked(configuration(context.arguments, context.environ))
    if not config.foreground:
        # Whether the registry can be read, too: a wait would be for nothing.
        config.check_places()
        context.registry.rows()
        config = wait_for_answer(config)
    if context.values["snapshot"]:
        from jd.worker.launch import copying
        config = copying.taken(config)
    if config.foreground:
        from jd.worker.launch.foreground import launch
        return launch(config)
    from jd.cli.launching.starting import announce
    from jd.worker.launch import background
    return announce(config, background.start(config, range(config.num_workers), context.here))


def _pass_over(environ: Mapping[str, str]) -> None:
    for text in settings.service_links(settings.WORKER, environ):
        print("note: " + text, file=sys.stderr)


def configuration(arguments: Mapping[str, str], environ: Mapping[str, str]) -> WorkerConfig:
    """The launch configuration from arguments and variables. Raises UsageError.

    In Hub mode, with `server=@path`, and where nobody names a server, the server is but the default
    until the launch is authorised.
    """
    values = settings.resolve(settings.WORKER, arguments, environ)
    server_file = published.file_of(values["server"])
    if server_file is not None:
        values["server"] = settings.value_of(settings.WORKER, "server", {})
    _required(values, "expId", "JD_EXP_ID", "expId=digits-tune")
    _required(values, "entry_script", "JD_ENTRY_SCRIPT", "entry_script=train.py")
    if values["num_workers"] == 0:
        raise UsageError("num_workers=: 0 workers can do nothing", "give a whole number from 1 to 4096")
    hub = hubtoken.access(arguments, environ, values["expId"])
    found = hub is None and not _names_a_server(arguments, environ)
    if found:
        server_file = _access_file(values["expId"], environ)
    _refuse_base_path(values)
    directory = _current_directory()
    script = entryscript.checked(values["entry_script"], values["python"], environ, directory)
    log_dir = values["log_dir"]
    return WorkerConfig(
        experiment=values["expId"],
        entry_script=script.entry.script,
        server=settingvalues.with_port(values["server"], values["port"]),
        machine_type=values["machine_type"],
        process_id=values["process_id"],
        num_workers=values["num_workers"],
        foreground=values["foreground"],
        once=values["once"],
        log_dir=None if log_dir is None else log_dir.absolute(),
        base_path=values["base_path"],
        cwd=values["cwd"],
        flags=values["flags"],
        args=values["args"] or (),
        module=script.entry.module,
        python=script.entry.python, python_version=script.python_version,
        warm=values["warm"], preload=_preloaded(values),
        threads=values["threads"] or "",
        memory=values["memory"],
        grace=values["grace"],
        server_file=server_file,
        found=found,
        job_timeout=values["job_timeout"],
        min_time=values["min_time"],
        idle_exit=values["idle_timeout"],
        exit_when_empty=values["exit_when_empty"],
        collect=values["collect"] or "",
        collect_limit=values["collect_limit"],
        results_from=values["results_from"],
        checkpoint_interval=values["checkpoint_interval"],
        gpus=values["gpus"] or "",
        pass_api_key=values["pass_api_key"],
        log_max_bytes=int(values["JD_LOG_MAX_MB"] * 1_000_000),
        environ=_launch_environ(arguments, environ, directory),
        directory=directory,
        hub=None if hub is None else hub.url,
        tags=values["tags"] or (),
    )


def _refuse_base_path(values: Mapping[str, Any]) -> None:
    style = values["flags"]
    if values["base_path"] == BASE_PATH_ALWAYS and style not in WITH_BASE_PATH:
        raise UsageError("base_path=always adds --base_path to the command line, and flags=%s gives no such "
                         "options" % style, "leave it out: the directory is in JD_WORKER_JOB_DIR too")


def _preloaded(values: Mapping[str, Any]) -> Tuple[str, ...]:
    if values["preload"] and not values["warm"]:
        raise UsageError("preload= is what warm=true imports, and warm=true is not given",
                         "give both, or leave preload= out")
    return values["preload"] or ()


def _names_a_server(arguments: Mapping[str, str], environ: Mapping[str, str]) -> bool:
    return any(settings.lookup(argument(name), arguments, environ) for name in ("server", "port"))


def _access_file(experiment: str, environ: Mapping[str, str]) -> Optional[Path]:
    """Where the access file of the experiment is, or will be when its server comes up."""
    try:
        return accessfile.path_of(experiment, environ).absolute()
    except UsageError:
        return None  # no home directory


def _launch_environ(arguments: Mapping[str, str], environ: Mapping[str, str],
                    directory: Path) -> Dict[str, str]:
    """The variables of the launch; what was typed for the Hub, and whom to trust,
    counts like its variables."""
    variables = with_absolute_paths(environ, directory)
    for name, variable in (("api_key", "JD_API_KEY"), ("hub", "JD_HUB_URL"), ("trust_user", VARIABLE)):
        if arguments.get(name):
            variables[variable] = arguments[name]
    return variables


def _current_directory() -> Path:
    try:
        return Path(os.getcwd())
    except OSError as error:
        raise UsageError("the current directory cannot be used: %s" % error.strerror,
                         "cd to one that exists, jobs run in it") from None


def _required(values: Dict[str, Any], name: str, variable: str, example: str) -> None:
    if values[name] is None:
        raise UsageError("%s= is missing" % name, "give it, or set %s, for example %s" % (variable, example))
