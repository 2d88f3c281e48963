"""What the sub-commands of `jd_server` share: they work on the data of an experiment."""

import argparse
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Sequence

from jd import settings
from jd.errors import UsageError
from jd.server.command.commandline import say_lowered


class Parser(argparse.ArgumentParser):
    """Takes some of the server's options, named by `words`, beside what is added to it. `notes` go
    behind the help of an option."""

    def __init__(self, prog: str, description: str, epilog: str, words: Sequence[str],
                 notes: Mapping[str, str] = {}) -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False)
        self._table = [setting for setting in settings.SERVER if setting.name in words]
        for setting in self._table:
            if setting.is_flag:
                self.add_argument("--" + setting.name, dest=setting.key, action="store_const", const="true",
                                  help="print JSON, for programs")
            else:
                self.add_argument("--" + setting.name, dest=setting.key, metavar=setting.metavar,
                                  help=setting.help + notes.get(setting.name, ""))

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, "see %s --help" % self.prog)

    def values(self, argv: List[str], environ: Mapping[str, str], whose: Optional[str]) -> Dict[str, Any]:
        """What was given, settings by key among it. `whose` is the experiment in the message where none is
        named; None where none has to be. Raises UsageError."""
        given = vars(self.parse_args(argv))
        named = {setting.name: given[setting.key] for setting in self._table
                 if given[setting.key] is not None}
        found = settings.resolve(self._table, named, environ, style="--%s")
        if whose is not None and found["expId"] is None:
            self.error("--expId NAME is missing: the experiment of %s" % whose)
        if found.get("expId") is not None:
            say_lowered(named, environ)
        return dict(given, **found)
