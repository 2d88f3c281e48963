"""`jd_worker_cli`, `jd_worker_cli -i`: interactive mode."""

import sys
from typing import Dict

from jd.cli import completing, history
from jd.cli.catalog import argument
from jd.cli.context import Context
from jd.cli.repl import Repl
from jd.terminal import is_terminal


def run(context: Context) -> int:
    """Talk to a terminal, or run what standard input holds; returns the exit status."""
    context.words_exactly(0)
    environ = _with_arguments(context)
    if not is_terminal(sys.stdin):
        return Repl(environ).script()
    readline = history.import_readline()
    repl = Repl(environ, history.History(environ, readline))
    if readline is not None:
        history.complete_with(
            readline, lambda words: completing.candidates(words, repl.environ, inside=True))
    return repl.talk()


def _with_arguments(context: Context) -> Dict[str, str]:
    """The variables of the session: what was given on the command line stands for each line."""
    environ = dict(context.environ)
    for key, value in context.arguments.items():
        variable = argument(key).variable
        if variable is not None:
            environ[variable] = value
    return environ
