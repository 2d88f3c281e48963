"""What was typed, as a command, its words and its arguments.

`key=value` is an argument, a bare word the command or something it works on; their order does not
matter (reference, section 2). Nothing is looked up or checked here beyond the names.
"""

import difflib
from dataclasses import dataclass
from typing import Dict, Iterable, Optional, Sequence, Tuple

from jd.errors import UsageError
from jd.protocol import shown
from jd.settings import Setting

MAX_TOKENS = 10_000
_SECRET_CHARS = 20  # a word this long may be a key that was typed in the wrong place


@dataclass(frozen=True)
class CommandLine:
    """`command` is None where none was named; `words` are the bare words after it."""

    command: Optional[str]
    words: Tuple[str, ...]
    arguments: Dict[str, str]


def parse(tokens: Sequence[str], commands: Sequence[str], table: Sequence[Setting],
          aliases: Dict[str, str]) -> CommandLine:
    """Sort tokens. Raises UsageError for an unknown key or command and for a key given twice."""
    if len(tokens) > MAX_TOKENS:
        raise UsageError("more than %d arguments" % MAX_TOKENS)
    keys = [setting.name for setting in table if setting.argument]
    arguments: Dict[str, str] = {}
    words = []
    for token in tokens:
        key, separator, value = token.partition("=")
        if not separator:
            words.append(token)
            continue
        if key not in keys:
            raise UsageError(_unknown_key(key, keys))
        if key in arguments:
            raise UsageError("%s= is given twice; give it once" % key)
        arguments[key] = value
    if not words:
        return CommandLine(None, (), arguments)
    command = aliases.get(words[0], words[0])
    if command not in commands:
        raise UsageError(_unknown_command(words[0], commands, keys))
    return CommandLine(command, tuple(words[1:]), arguments)


def no_words(line: CommandLine) -> None:
    """Raise UsageError if there are words that the command has no use for."""
    if line.words:
        raise UsageError("%s takes no further words, but %s is given; arguments are key=value"
                         % (line.command or "a launch", _named(line.words[0])))


def _closest(word: str, known: Iterable[str]) -> Optional[str]:
    plain = {name.lower().replace("_", "").replace("-", ""): name for name in known}
    wanted = word.lower().replace("_", "").replace("-", "")
    found = difflib.get_close_matches(wanted, list(plain), n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def _unknown_key(key: str, keys: Sequence[str]) -> str:
    close = _closest(key, keys)
    hint = "did you mean %s=?" % close if close else "see jd_worker_cli help"
    return "unknown argument %s=; %s" % (_named(key).strip("'"), hint)


def _unknown_command(word: str, commands: Sequence[str], keys: Sequence[str]) -> str:
    if word.endswith(".py"):
        return "unknown command %s; did you mean entry_script=%s?" % (_named(word), word)
    key = _closest(word, keys)
    command = _closest(word, commands)
    if command:
        hint = "did you mean %s?" % command
    elif key:
        hint = "arguments are key=value; did you mean %s=...?" % key
    else:
        hint = "commands are %s; see jd_worker_cli help" % ", ".join(commands)
    return "unknown command %s; %s" % (_named(word), hint)


def _named(word: str) -> str:
    if word.startswith("jd_") and len(word) > _SECRET_CHARS:
        return "'jd_...'"
    return shown(word)
