"""`jd_worker_cli help`."""

from jd import terminal
from jd.cli import reference
from jd.cli.catalog import ALIASES, COMMANDS, SHELL_ALIASES, SHELL_COMMANDS
from jd.cli.context import Context
from jd.errors import UsageError
from jd.protocol import shown
from jd.suggestion import closest

# Narrower terminals wrap by themselves; columns of two words a line are worse.
_NARROWEST = 60


def run(context: Context) -> int:
    """Print the reference of the command line, or of one command. Raises UsageError."""
    width = max(_NARROWEST, min(reference.WIDTH, terminal.columns()))
    if not context.words:
        print(reference.overview(width))
        return 0
    (word,) = context.words_exactly(1)
    name = {**ALIASES, **SHELL_ALIASES}.get(word, word)
    command = COMMANDS.get(name) or SHELL_COMMANDS.get(name)
    if command is None:
        close = closest(word, [*COMMANDS, *SHELL_COMMANDS])
        raise UsageError("there is no command %s" % shown(word),
                         "jd_worker_cli help lists them" if close is None else "did you mean %s?" % close)
    print(reference.about(command, width))
    return 0
