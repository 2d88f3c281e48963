"""All checks of `doctor`, in the order of its page."""

import os
from pathlib import Path
from typing import List, Mapping, Optional

from jd import paths, settings
from jd.cli import target
from jd.cli.catalog import argument
from jd.cli.checkup import batch, hardware, hub, remains, server, software, surroundings, variables
from jd.cli.checkup.finding import Check, Group
from jd.cli.checkup.server import Server, Visit
from jd.cli.checkup.storage import TOPIC as STORAGE
from jd.cli.checkup.storage import Directory, waiting_results
from jd.cli.commandline import CommandLine
from jd.cli.context import Context
from jd.errors import JdError
from jd.node.cgroups import Groups


def groups(context: Context) -> List[Group]:
    """Groups of checks. Nothing is looked at yet: that is for a process that may be killed.

    A variable whose value cannot be used is a finding of its own; to the other checks it is unset.
    """
    environ = settings.usable(settings.WORKER, context.environ)
    found = [
        Group(software.TOPIC, [
            Check("Python", software.python), Check("modules", software.modules),
            Check("importing jd", lambda: software.package(environ)),
            Check("the encoding", software.encoding),
            Check("the entry script", lambda: software.entry_script(environ)),
            Check("the entry script's Python", lambda: software.interpreter(environ))]),
        Group(variables.TOPIC, [
            Check("variables", lambda: (variables.names(context.environ)
                                        + variables.values(context.environ)))]),
        Group(surroundings.TOPIC, [
            Check("the host name", surroundings.host),
            Check("the clock", surroundings.clock),
            Check("the umask", surroundings.mask),
            Check("limits", surroundings.limits),
            Check("signals", surroundings.signals),
            Check("processors", lambda: hardware.processors(environ, Groups())),
            Check("memory", lambda: hardware.memory(environ, Groups())),
            Check("what each job gets", lambda: hardware.of_each_job(environ, Groups())),
            Check("temporary files", lambda: surroundings.temporary_files(environ)),
            Check("user and home directory", lambda: surroundings.user(environ))]),
        Group(batch.TOPIC, [
            Check("the scheduler", lambda: batch.surroundings(environ)),
            Check("the time left", lambda: batch.time_left(environ)),
            Check("scratch", lambda: batch.scratch(environ))]),
        Group(hardware.GPUS, [Check("the GPUs", lambda: hardware.gpus(environ))]),
    ]
    found += [Group(STORAGE, directory.checks())
              for directory in directories(environ, context.experiment)]
    found.append(Group(STORAGE, [
        Check("where results wait", lambda: waiting_results(environ, context.experiment))]))
    named = _names_a_server(context, environ)
    # `access` of the visit has the variables alone to go by.
    typed = {str(argument(key).variable): context.arguments[key]
             for key in ("server", "api_key", "hub") if context.arguments.get(key)}
    visit = Visit(lambda: _server(context, environ), context.experiment, dict(environ, **typed))
    found += [
        Group(server.TOPIC, visit.checks()),
        Group(hub.TOPIC, [Check("the Hub",
                            lambda: hub.check(environ, context.arguments, named,
                                               context.experiment))]),
        Group(remains.TOPIC, remains.checks(environ, context.experiment, lambda: context.here)),
    ]
    return found


def directories(environ: Mapping[str, str], experiment: Optional[str]) -> List[Directory]:
    """Where workers of the experiment write; each may be on a file system of its own."""
    found = [Directory("workspace", "JD_WORKSPACE_PATH", lambda: paths.data_root(environ)),
             Directory("cache", "JD_CACHE_PATH", lambda: paths.cache_root(environ), True)]
    log_dir: Optional[Path] = settings.value_of(settings.WORKER, "log_dir", environ)
    if log_dir is not None:
        given = Path(os.path.abspath(str(log_dir)))
        found.append(Directory("logs", "JD_LOG_DIR", lambda: given))
    elif experiment is not None:
        found.append(Directory("logs", "JD_LOG_DIR", lambda: paths.log_dir(experiment, environ)))
    return found


def _names_a_server(context: Context, environ: Mapping[str, str]) -> bool:
    return any(settings.lookup(argument(name), context.arguments, environ) for name in ("server", "port"))


def _server(context: Context, environ: Mapping[str, str]) -> Server:
    """The server that other commands would use. Raises JdError where that is up to a file or a Hub, and it
    does not tell."""
    line = CommandLine(context.command.name, context.words, context.arguments)
    forgiving = Context(line, environ)
    try:
        source = target.source(forgiving)
    except JdError:
        # Of the registry others tell; a launch looks at no other worker's server.
        source = target.source(forgiving, workers=False)
    found = target.find(forgiving, found=source)
    return Server(found.place.url, found.source.is_named, found.source.shown, found)
