"""What was typed, as a command, its words and its arguments.

`key=value` is an argument, a bare word the command or something it works on; their order does not
matter (reference, section 2). Nothing is looked up or checked here beyond the names.
"""

from __future__ import annotations

from jd import settings
from jd.cli.catalog import ANYWHERE, KEY_ALIASES, PARAMETER, RUN, Command, argument, family
from jd.errors import UsageError
from jd.protocol import shown
from jd.suggestion import closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Mapping, Sequence

MAX_TOKENS = 10_000
_LONGEST_SHOWN = 80  # characters
_LOOKED_AT = 100  # words for which a key is looked up that may be meant: each takes a millisecond
_WORKER_ID = "[A-Za-z0-9._-]+_[A-Za-z0-9]+_[0-9]+"
_HELP = ("-h", "--help")
_PARAMETERS = "submit"  # the command that takes them


class CommandLine:
    """`command` is None where none was named; `words` are the bare words after it. `unused` are keys that
    were given and that the command has no use for."""

    def __init__(self, command: str | None, words: tuple[str, ...], arguments: dict[str, str],
                 unused: tuple[str, ...] = ()) -> None:
        self.command = command
        self.words = words
        self.arguments = arguments
        self.unused = unused

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CommandLine) and vars(self) == vars(other)


def parse(tokens: Sequence[str], commands: Mapping[str, Command],
          aliases: Mapping[str, str]) -> CommandLine:
    """Sort tokens. Raises UsageError for an unknown command, for a key that is unknown or that the
    command does not take, and for a key given twice.

    The command is the first bare word that is the name of one: `egg_0 worker-status` works too.
    `stop -h` is `help stop`.
    """
    if len(tokens) > MAX_TOKENS:
        raise UsageError("more than %d arguments" % MAX_TOKENS, "a command line has a few")
    keys = list(dict.fromkeys(key for command in commands.values() for key in command.keys))
    arguments: dict[str, str] = {}
    words: list[str] = []
    for number, token in enumerate(tokens):
        key, separator, value = token.partition("=")
        if not separator:
            words.append(token)
            continue
        if not key:
            raise _blanks(tokens, number, keys)
        key = KEY_ALIASES.get(key, key)
        if family(key) not in keys:
            raise UsageError(_unknown_key(key, value, keys, commands, _PARAMETERS in tokens))
        if key in arguments:
            raise UsageError("%s= is given twice" % key, "give it once")
        arguments[key] = value
    _check_options([word for word in words if word not in aliases], keys)
    named = [word for word in words if aliases.get(word, word) in commands]
    if words and not named:
        raise UsageError(_unknown_command(words[0], list(commands), keys))
    if len(named) > 1 and any(word in _HELP for word in named):
        asked = next((word for word in named if aliases.get(word, word) != "help"), None)
        return CommandLine("help", () if asked is None else (aliases.get(asked, asked),), {})
    name = aliases.get(named[0], named[0]) if named else None
    if named:
        words.remove(named[0])
    if name == "help":  # `expId=x help`: whatever else stands there, help is what is wanted
        return CommandLine(name, tuple(words), {})
    taken = commands[name or RUN].keys
    unused = [key for key in arguments if key in ANYWHERE and key not in taken]
    used = {key: value for key, value in arguments.items() if key not in unused}
    _check_taken(name, used, commands)
    return CommandLine(name, tuple(words), used, tuple(unused))


def unexpected(word: str, keys: Iterable[str]) -> str:
    """What to say of a bare word that a command with these keys has no use for."""
    keys = list(keys)
    close = closest(word, keys)
    if close is None:
        return "unexpected word %s" % shown(word)
    value = "true" if argument(close).is_flag else "..."
    return "unexpected word %s; did you mean %s=%s?" % (shown(word), close, value)


def _check_options(words: Sequence[str], keys: Sequence[str]) -> None:
    """Raise UsageError for `--key value`, which other programs take."""
    for word, after in zip(words[:_LOOKED_AT], list(words[1:]) + [""]):
        key = closest(word, keys) if word.startswith("-") and word not in _HELP else None
        if key is not None:
            value = "true" if argument(key).is_flag else _repeated(key, "" if after[:1] == "-" else after)
            raise UsageError("unknown option %s" % shown(word),
                             "arguments are key=value; did you mean %s=%s?" % (key, value))


def _check_taken(name: str | None, arguments: Mapping[str, str],
                 commands: Mapping[str, Command]) -> None:
    taken = commands[name or RUN].keys
    for key in arguments:
        if family(key) in taken:
            continue
        if name is None:
            raise UsageError("%s= goes with %s"
                             % (key, " or ".join(c.name for c in commands.values() if family(key) in c.keys)),
                             "name the command")
        advice = "it takes %s" % (", ".join(k + "=" for k in taken) or "no arguments")
        if key in commands[RUN].keys and name == "doctor" and argument(key).variable:
            advice = "it reads the variables of a launch: %s=... jd_worker_cli doctor" % (
                argument(key).variable)
        elif key in commands[RUN].keys:
            advice = "leave it out, it is for a launch; " + advice
        raise UsageError("%s does not take %s=" % (name, key), advice)


def _blanks(tokens: Sequence[str], number: int, keys: Sequence[str]) -> UsageError:
    """What to say of `key = value` and `key =value`, of which a shell makes several words."""
    key = closest(tokens[number - 1], keys) if number else None
    value = tokens[number][1:] or "".join(tokens[number + 1:number + 2])
    example = "key=value" if key is None else "%s=%s" % (key, _repeated(key, value))
    return UsageError("%s stands alone; write %s, without blanks around the =" % (
        shown(tokens[number][:_LONGEST_SHOWN] if key is not None and key != "api_key" else "="), example))


def _repeated(key: str, value: str) -> str:
    """A value as a message may show it."""
    if key == "api_key" or not value or len(value) > _LONGEST_SHOWN or not value.isprintable():
        return "..."
    import shlex
    return shlex.quote(value)


def _unknown_key(key: str, value: str, keys: Sequence[str], commands: Mapping[str, Command],
                 parameters: bool) -> str:
    variable = closest("JD_" + key, [str(setting.variable) for setting in settings.WORKER
                                    if not setting.argument and not setting.secret])
    close = closest(key, keys)
    if key in commands:
        hint = "%s is a command: write it without =, as in %s" % (key, commands[key].usage)
    elif variable and closest(variable, ["JD_" + key]) and not close:
        hint = "it is a variable: %s=%s jd_worker_cli ..." % (variable, _repeated(key, value))
    elif close:
        hint = "did you mean %s=?" % close
    elif parameters:
        hint = "a parameter is %s%s=%s" % (PARAMETER, key, _repeated(key, value))
    else:
        hint = "see jd_worker_cli help"
    return "unknown argument %s=; %s" % (shown(key).strip("'"), hint)


def _unknown_command(word: str, commands: Sequence[str], keys: Sequence[str]) -> str:
    import re
    key = closest(word, keys)
    command = closest(word, commands)
    if word.endswith(".py"):
        hint = "did you mean entry_script=%s?" % word
    elif key and not command:
        hint = "arguments are key=value; did you mean %s=...?" % key
    elif command:
        hint = "did you mean %s?" % command
    elif re.fullmatch(_WORKER_ID, word):
        hint = "say what to do with it, for example worker-status %s" % word
    else:
        hint = "see jd_worker_cli help"
    return "unknown command %s; %s" % (shown(word), hint)
