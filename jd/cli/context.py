"""What a command works with: checked arguments, the experiment, its registry, its server.

Each is imported when a command asks for it: some need none of them, and few the network.
"""

from __future__ import annotations

import os

from jd import settings
from jd.cli.catalog import COMMANDS, PROGRAM, RUN, Command
from jd.cli.commandline import CommandLine, unexpected
from jd.errors import UsageError
from jd.protocol import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from jd.auth.hubtoken import Access
    from jd.auth.jobserver import Target
    from jd.net.client import Client
    from jd.node.identity import Here
    from jd.worker.local.registry import Registry
    from jd.worker.local.rows import Row

# To these a variable whose value cannot be used is unset: they tell of it.
_FORGIVING = ("doctor",)


class Context:
    """One command line, checked. `values` has the value of each key of the command.

    `arguments` is what was typed and `environ` the variables; a launch needs them as they are.
    """

    def __init__(self, line: CommandLine, environ: Mapping[str, str] = os.environ,
                 here: Here | None = None) -> None:
        """Raises UsageError for a value that cannot be used, and a missing expId."""
        self.command: Command = COMMANDS[line.command or RUN]
        self.words: tuple[str, ...] = line.words
        self.arguments: dict[str, str] = dict(line.arguments)
        self.environ = environ
        self._here = here
        table = [self.command.setting(key) for key in self.command.keys]
        known = settings.usable(table, environ) if self.command.name in _FORGIVING else environ
        self.values: dict[str, Any] = settings.resolve(table, self.arguments, known)
        if self.command.experiment == "needed" and self.values["expId"] is None:
            raise UsageError("expId= is missing",
                             "usage: %s %s; JD_EXP_ID can be set instead, and in interactive mode `use "
                             "<name>`" % (PROGRAM, self.command.usage))

    @property
    def here(self) -> Here:
        """This host and process."""
        if self._here is None:
            from jd.node.identity import Here
            self._here = Here()
        return self._here

    @property
    def experiment(self) -> str | None:
        """The experiment; None only where the command can do without."""
        name: str | None = self.values.get("expId")
        return name

    @property
    def registry(self) -> Registry:
        """The registry of the experiment."""
        from jd.worker.local.registry import Registry
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

    def server(self, row: Row | None = None) -> str:
        """The job server's URL, `row` being the worker that it is about; see jd/cli/target.py."""
        return self.target(row).place.url

    @property
    def hub(self) -> Access | None:
        """Hub and key, where the mode rule says Hub mode. Raises what `hubtoken.access` does."""
        from jd.auth import hubtoken
        return hubtoken.access(self.arguments, self.environ, self.experiment)

    def target(self, row: Row | None = None) -> Target:
        """The job server, how it was found and what opens it. Raises what `find` of jd/cli/target.py does."""
        from jd.cli import target
        return target.find(self, row)

    def client(self, row: Row | None = None, timeout: float = 10.0) -> Client:
        """A client of that server, with its token."""
        return self.target(row).client(timeout, self.experiment)
