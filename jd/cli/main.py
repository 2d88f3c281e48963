"""`jd_worker_cli`: finds the command and runs it. A command is imported when it is used."""

import importlib
import os
from typing import Dict, List, Mapping

from jd import errors, settings
from jd.cli import tokens

RUN = "run"
# name → what it does; the module is jd.cli.commands.<name>, with `run(line, environ) -> int`.
COMMANDS: Dict[str, str] = {
    RUN: "start workers (the word can be left out)",
    "help": "this text",
    "version": "package version, Python and cache directory",
}
ALIASES = {"-h": "help", "--help": "help", "-V": "version", "--version": "version"}


def main(argv: List[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run one command line; returns its exit status. Raises JdError."""
    line = tokens.parse(argv, list(COMMANDS), settings.WORKER, ALIASES)
    command = line.command
    if command is None:
        command = RUN if line.arguments else "help"
    module = importlib.import_module("jd.cli.commands.%s" % command.replace("-", "_"))
    return int(module.run(line, environ))


def entry() -> int:
    """The console script."""
    return errors.run_command(main)
