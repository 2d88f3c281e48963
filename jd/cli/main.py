"""`jd_worker_cli`: finds the command and runs it. A command is imported when it is used, and so is what it
needs; what is imported here each command waits for (tests/cli/test_startup.py)."""

from __future__ import annotations

import gc
import os
import sys

from jd import errors, program, settings
from jd.cli import commandline
from jd.cli.catalog import (
    ALIASES,
    COMMANDS,
    COMPLETION,
    INTERACTIVE,
    RUN,
    SHELL_ALIASES,
    SHELL_COMMANDS,
    module_of,
)
from jd.cli.commandline import CommandLine
from jd.errors import EXIT_OK, StorageError
from jd.terminal import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

# From so many registered workers on the clean-up shows a progress bar (reference, section 2).
MANY_WORKERS = 50
# These look at no registry, are about to clean up themselves, or tell what there is to clean up.
_WITHOUT_SWEEP = ("help", "completion", "version", "prune", "doctor")
# These are what a machine is set going again with: what died since the last clean-up is looked for anew.
_STARTING = (RUN, "restart", "scale")
_KEY_WORD = "api_key="

_swept = False
_said: set[str] = set()


def main(argv: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run one command line; returns its exit status. Raises JdError."""
    if argv[:1] == [COMPLETION]:
        from jd.cli import completing
        if completing.asked(argv):
            print(completing.answer(argv[2:], environ), end="")
            return EXIT_OK
    line = parse(argv)
    if line.command is None:
        # `api_key=` alone opens a shell for that key (reference, section 2, "Interactive mode").
        line.command = RUN if set(line.arguments) - {"api_key"} else INTERACTIVE
    return execute(line, environ)


def parse(argv: list[str], inside: bool = False) -> CommandLine:
    """Tokens as a command line. `inside` knows what only interactive mode has. Raises UsageError."""
    if inside:
        return commandline.parse(argv, {**COMMANDS, **SHELL_COMMANDS}, {**ALIASES, **SHELL_ALIASES})
    return commandline.parse(argv, COMMANDS, ALIASES)


def execute(line: CommandLine, environ: Mapping[str, str]) -> int:
    """Run a parsed command line; returns its exit status. Raises JdError."""
    import importlib

    from jd.cli.context import Context
    from jd.net.peer.portowner import trusting  # which knows variables; sockets only once there is one
    context = Context(line, environ)
    if line.unused:
        print("note: %s has no use for %s=: workers keep the server that they were started with"
              % (context.command.name, "=, ".join(line.unused)), file=sys.stderr)
    if context.experiment is not None:
        _say_names(context.experiment, line.arguments, context.environ)
    problems: list[str] = []
    if context.command.name not in _WITHOUT_SWEEP:
        problems = sweep_once(context.environ, again=context.command.name in _STARTING)
    # What is wrong with the command's own registry it may say itself, as its error.
    own = str(context.registry.path) if problems and context.experiment is not None else None
    theirs = [problem for problem in problems if own is None or own not in problem]
    left = [problem for problem in problems if problem not in theirs]
    _warn(theirs)
    module = importlib.import_module(module_of(context.command.name))
    if not gc.isenabled():  # until here: see the console script
        gc.freeze()
        gc.enable()
    try:
        with trusting(line.arguments.get("trust_user")):
            return int(module.run(context))
    except errors.JdError as error:
        left = [problem for problem in left if problem != str(error)]
        raise
    finally:
        _warn(left)


def _warn(problems: list[str]) -> None:
    if problems:
        more = " (and %d more; jd_worker_cli prune names them)" % (len(problems) - 1)
        print("warning: %s%s" % (problems[0], more if problems[1:] else ""), file=sys.stderr)


def _say_names(experiment: str, arguments: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Say once what the experiment is really called, and what an earlier version has called otherwise."""
    from jd.cli import earlier
    for text in (["note: " + said for said in settings.lowered(arguments, environ)]
                 + ["warning: " + said for said in earlier.told(experiment, environ)]):
        if text not in _said:
            _said.add(text)
            print(text, file=sys.stderr)


def sweep_once(environ: Mapping[str, str], again: bool = False) -> list[str]:
    """Clean up the registries, the first time in this process (reference, section 2), or `again`. Returns
    what could not be done: that must not stop the command that it comes before."""
    global _swept
    if _swept and not again or settings.value_of(settings.WORKER, "JD_SKIP_REGISTRY_PRUNE", environ):
        return []
    _swept = True
    from jd.files.safedirs import UnsafePlace
    from jd.worker.local import caches
    try:
        return [] if caches.are_empty(environ) else _sweep(environ)
    except UnsafePlace:
        raise  # the command would only read what somebody else may have put there
    except StorageError as error:
        return [str(error)]


def _sweep(environ: Mapping[str, str]) -> list[str]:
    """What could not be done. Raises StorageError."""
    from jd.node.identity import Here
    from jd.worker.local import cleanup
    bar: list[Progress] = []

    def show(done: int, total: int) -> None:
        if total >= MANY_WORKERS:
            if not bar:
                bar.append(Progress(total, "checking workers"))
            bar[0].update(done)

    try:
        swept = cleanup.clean_up(environ, Here(), show)
    finally:
        for shown in bar:
            shown.__exit__()
    for line in swept.told():
        print(line, file=sys.stderr)  # whatever the command prints on stdout may be for a program
    return list(swept.problems)


def entry() -> int:
    """The console script. A key on the command line is moved to where `ps` does not show it."""
    command = without_key(sys.argv)
    if command is not None:
        arguments, environ = command
        os.execve(arguments[0], arguments, environ)
    return errors.run_command(main)


def without_key(argv: list[str]) -> tuple[list[str], dict[str, str]] | None:
    """This process's command line without `api_key=`, and the environment that has it instead.

    None where there is none, or where the line is wrong: then the error is about what was typed.
    """
    typed = [word for word in argv[1:] if word.startswith(_KEY_WORD)]
    if len(typed) != 1 or not typed[0][len(_KEY_WORD):].strip() or not sys.executable:
        return None
    try:
        parse(argv[1:])
    except errors.JdError:
        return None
    rest = [word for word in program.again(argv) if not word.startswith(_KEY_WORD)]
    return rest, dict(os.environ, JD_API_KEY=typed[0][len(_KEY_WORD):])
