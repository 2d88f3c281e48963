"""What a command works with: checked arguments, the experiment, its registry, its server."""

import os
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from jd import settings
from jd.auth import hubtoken
from jd.auth.hubtoken import Access
from jd.auth.jobserver import Target
from jd.cli import target
from jd.cli.catalog import COMMANDS, PROGRAM, RUN, Command
from jd.cli.commandline import CommandLine, unexpected
from jd.errors import UsageError
from jd.net.client import Client
from jd.node.identity import Here
from jd.protocol import shown
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row

# To these a variable whose value cannot be used is unset: they tell of it.
_FORGIVING = ("doctor",)


class Context:
    """One command line, checked. `values` has the value of each key of the command.

    `arguments` is what was typed and `environ` the variables; a launch needs them as they are.
    """

    def __init__(self, line: CommandLine, environ: Mapping[str, str] = os.environ,
                 here: Optional[Here] = None) -> None:
        """Raises UsageError for a value that cannot be used, and a missing expId."""
        self.command: Command = COMMANDS[line.command or RUN]
        self.words: Tuple[str, ...] = line.words
        self.arguments: Dict[str, str] = dict(line.arguments)
        self.environ = environ
        self._here = here
        table = [self.command.setting(key) for key in self.command.keys]
        known = settings.usable(table, environ) if self.command.name in _FORGIVING else environ
        self.values: Dict[str, Any] = settings.resolve(table, self.arguments, known)
        if self.command.experiment == "needed" and self.values["expId"] is None:
            raise UsageError("expId= is missing",
                             "usage: %s %s; JD_EXP_ID can be set instead, and in interactive mode `use "
                             "<name>`" % (PROGRAM, self.command.usage))

    @property
    def here(self) -> Here:
        """This host and process."""
        if self._here is None:
            self._here = Here()
        return self._here

    @property
    def experiment(self) -> Optional[str]:
        """The experiment; None only where the command can do without."""
        name: Optional[str] = self.values.get("expId")
        return name

    @property
    def registry(self) -> Registry:
        """The registry of the experiment."""
        assert self.experiment is not None
        return Registry(self.experiment, self.environ)

    def words_exactly(self, count: int) -> Sequence[str]:
        """The words after the command. Raises UsageError unless there are `count`."""
        usage = "usage: %s %s" % (PROGRAM, self.command.usage)
        if len(self.words) > count:
            raise UsageError(unexpected(self.words[count], self.command.keys), usage)
        if len(self.words) < count:
            raise UsageError("%s needs %s" % (self.command.name, self.command.words), usage)
        return self.words

    def worker(self) -> Row:
        """The worker that the command's only word names. Raises UsageError if there is none."""
        (worker_id,) = self.words_exactly(1)
        row = self.registry.row(worker_id)
        if row is None:
            known = ", ".join(row.worker_id for row in self.registry.rows()[:5])
            raise UsageError("there is no worker %s of experiment %s here"
                             % (shown(worker_id), self.experiment),
                             "running: " + known if known else "none is running")
        return row

    def server(self, row: Optional[Row] = None) -> str:
        """The job server's URL, `row` being the worker that it is about; see jd/cli/target.py."""
        return self.target(row).place.url

    @property
    def hub(self) -> Optional[Access]:
        """Hub and key, where the mode rule says Hub mode. Raises what `hubtoken.access` does."""
        return hubtoken.access(self.arguments, self.environ, self.experiment)

    def target(self, row: Optional[Row] = None) -> Target:
        """The job server, how it was found and what opens it. Raises what `find` of jd/cli/target.py does."""
        return target.find(self, row)

    def client(self, row: Optional[Row] = None, timeout: float = 10.0) -> Client:
        """A client of that server, with its token."""
        return self.target(row).client(timeout, self.experiment)
