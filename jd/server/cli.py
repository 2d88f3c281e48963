"""`jd_server`: flags and variables → a running server."""

import argparse
import asyncio
import json
import logging
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, NoReturn, Optional

import jd
from jd import filesystems, settings
from jd.auth import shared
from jd.errors import EXIT_OK, UsageError, run_command
from jd.server import jobfile
from jd.server.access import Access, is_loopback
from jd.server.app import JobServer
from jd.server.experiment import Experiment
from jd.server.store import batches
from jd.server.store.transitions import Policy
from jd.terminal import paint, silence_stdout


def entry() -> int:
    """The console script."""
    return run_command(main)


def main(argv: List[str]) -> int:
    """Run the server until SIGINT or SIGTERM."""
    values = options(argv, os.environ)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    _allow_many_connections()
    access = Access(values["host"], values["token_file"], values["insecure"])
    loading = [(path, jobfile.read(path)) for path in values["jobs"] or []]
    policy = Policy(values["idle_timeout"], values["aborted_job_reset_timeout"],
                    values["max_attempts"])
    experiment = Experiment(values["workspace_path"], values["expId"], policy)
    try:
        return asyncio.run(_serve(experiment, access, loading, values))
    finally:
        experiment.close()


def _allow_many_connections() -> None:
    """Each held heartbeat is an open file; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        pass  # macOS: a hard limit of infinity is not what it takes


def _warn(experiment: Experiment, values: Dict[str, Any]) -> None:
    """Say on stderr what works and is still not wise."""
    token_file = values["token_file"]
    if token_file is not None and shared.is_exposed(token_file):
        _warning("other users can read the token file %s; chmod 600 it" % token_file)
    if values["insecure"] and token_file is None and not is_loopback(values["host"]):
        _warning("--insecure: anybody who reaches this address can read and change the jobs")
    if filesystems.is_network(experiment.meta_dir):
        _warning("%s is on a network file system: slower, and locks may fail; a local "
                 "--workspace_path is better" % experiment.meta_dir)


def _warning(text: str) -> None:
    print("%s: %s" % (paint("warning", "yellow", sys.stderr), text), file=sys.stderr)


async def _serve(experiment: Experiment, access: Access, loading: List[Any],
                 values: Dict[str, Any]) -> int:
    server = JobServer(experiment, access)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup and its like have SIGHUP ignored, and mean it.
        if signal.getsignal(number) == signal.SIG_IGN and number == signal.SIGHUP:
            continue
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    say = Announcer(values["json"], experiment)
    await server.start(values["host"], values["port"], values["dashboard_port"])
    try:
        say.ready(values["host"], server.port, server.dashboard_port)
        _warn(experiment, values)
        for path, batch in loading:
            say.loaded(path.name, batch.total, await server.creation.load(batch, path.name))
        await stop.wait()
        say.stopping()
    finally:
        await server.stop()
    return EXIT_OK


class Announcer:
    """What the server says on stdout: lines for people, or one JSON object a line."""

    def __init__(self, as_json: bool, experiment: Experiment) -> None:
        self._as_json = as_json
        self._experiment = experiment

    def ready(self, host: str, port: int, dashboard_port: int) -> None:
        """Where the server is; also written to meta/server.json."""
        name = reachable_name(host)
        facts = {"server_url": "http://%s:%d" % (name, port),
                 "dashboard_url": "http://%s:%d" % (name, dashboard_port), "pid": os.getpid()}
        self._experiment.publish(dict(facts, host=socket.gethostname(), version=jd.__version__,
                                      expId=self._experiment.name))
        if self._as_json:
            self._event("ready", facts)
            return
        self._say("%s  experiment %s" % (paint("jd_server " + jd.__version__, "bold"),
                                         self._experiment.name))
        self._say("  server     %s" % facts["server_url"])
        self._say("  dashboard  %s" % facts["dashboard_url"])
        self._say("  data       %s" % self._experiment.directory)

    def loaded(self, name: str, total: int, created: Optional[batches.Created]) -> None:
        """What became of a jobs file."""
        start = None if created is None else created.start_id
        if self._as_json:
            self._event("jobs", {"file": name, "created": 0 if created is None else total,
                                 "start_id": start})
        elif created is None:
            self._say("  jobs       %s was loaded before: nothing added" % name)
        else:
            self._say("  jobs       %d from %s" % (total, name))

    def stopping(self) -> None:
        """A signal came."""
        if self._as_json:
            self._event("stopping", {})
        else:
            self._say("stopping")

    def _event(self, event: str, facts: Mapping[str, Any]) -> None:
        self._say(json.dumps(dict({"event": event}, **facts)))

    @staticmethod
    def _say(line: str) -> None:
        try:
            print(line, flush=True)
        except OSError:
            silence_stdout()  # nobody reads any more; the server goes on


def reachable_name(host: str) -> str:
    """What other programs put into a URL for the address that the server listens on."""
    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname() or "localhost"
    return "[%s]" % host if ":" in host else host


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError("%s; see jd_server --help" % message)


def options(argv: List[str], environ: Mapping[str, str]) -> Dict[str, Any]:
    """Settings by key, from flags and JD_SERVER_* variables. Raises UsageError."""
    parser = _Parser(prog="jd_server", allow_abbrev=False,
                     description="Serve the jobs of one experiment to workers.",
                     epilog="Every option can also be set by the variable in brackets.")
    for setting in settings.SERVER:
        text = "%s [%s]" % (setting.help, setting.variable)
        if setting.default is not None and not setting.is_flag:
            text += " (%s)" % setting.default
        if setting.is_flag:
            parser.add_argument("--" + setting.name, dest=setting.key, action="store_const",
                                const="true", help=text)
        else:
            parser.add_argument("--" + setting.name, dest=setting.key, metavar=setting.metavar,
                                action="append" if setting.many else "store", help=text)
    parser.add_argument("--version", action="version", version="jd_server " + jd.__version__)
    given = vars(parser.parse_args(argv))
    named = {setting.name: given[setting.key] for setting in settings.SERVER
             if given[setting.key] is not None and not setting.many}
    values = settings.resolve(settings.SERVER, named, environ, style="--%s")
    if given["jobs"]:
        values["jobs"] = [Path(name) for name in given["jobs"]]
    if values["expId"] is None:
        raise UsageError("--expId NAME is missing: the experiment to serve; see jd_server --help")
    return values
