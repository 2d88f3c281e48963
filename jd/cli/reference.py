"""The reference of the command line, as text for `help` and as Markdown for docs/cli.md.

    python -m jd.cli.reference > docs/cli.md

All of it is derived from the catalogue of commands and the tables of settings.
"""

from __future__ import annotations

import sys
import textwrap

import jd
from jd import settings, terminal
from jd.cli.catalog import (
    ALIASES,
    COMMANDS,
    GROUPS,
    PROGRAM,
    RUN,
    SHELL_COMMANDS,
    Command,
    shown_key,
)
from jd.settings import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Sequence

    Rows = Sequence[tuple[str, str]]

WIDTH = 96  # columns at most
_SHELL_TITLE = "In interactive mode"
_LEAD = "runs your script once for each job of a sweep"
_USAGES = ("expId=<name> entry_script=<path> [key=value ...]  start workers",
           "[expId=<name>] <command> [key=value ...]          manage them",
           "[-i]                                              a shell for it")
_OVERVIEW = ("expId=digits-tune worker-list", "expId=digits-tune stop all")
_LONG_NAME = 24
_NBSP = "\u00a0"



# ---- text

def overview(width: int = WIDTH) -> str:
    """What `help` prints."""
    commands = [(_title(group.title), [(_listed(c), c.summary) for c in group.commands]) for group in GROUPS]
    commands.append((_title(_SHELL_TITLE), [
        ("  " + _typed(c), c.summary) for c in SHELL_COMMANDS.values()]))
    sections: list[tuple[str, Rows]] = commands + [
        (_title("Arguments of a launch") + ", with the variable that can be set instead",
         _arguments(map(COMMANDS[RUN].setting, COMMANDS[RUN].keys))),
        (_title("Arguments of other commands"),
         _arguments(settings.MANAGEMENT)),
        (_title("Variables"), _variables()),
    ]
    left = _left([row for _, rows in sections for row in rows])
    lines = ["%s %s - %s" % (PROGRAM, jd.__version__, _LEAD), "", _title("Usage")]
    lines += ["  %s %s" % (PROGRAM, words) for words in _USAGES]
    for title, rows in sections:
        lines += ["", title] + _columns(rows, left, width)
    lines += ["", _title("Examples")] + _examples(COMMANDS[RUN].examples[:2] + _OVERVIEW, width)
    lines += [""] + textwrap.wrap(
        "* needs expId=<name>, or JD_EXP_ID. Words and key=value come in any order. "
        "More: %s help <command>" % PROGRAM, width)
    return "\n".join(lines)


def about(command: Command, width: int = WIDTH) -> str:
    """What `help <command>` prints."""
    inside = command.name in SHELL_COMMANDS
    usage = command.usage if inside else "%s %s" % (PROGRAM, command.usage)
    lines = textwrap.wrap(usage, width, subsequent_indent=" " * (len(PROGRAM) + 1),
                          break_on_hyphens=False)
    lines += [""] + textwrap.wrap(_sentence(command), width)
    rows = _arguments(map(command.setting, command.keys))
    if rows:
        lines += ["", _title("Arguments")] + _columns(rows, _left(rows), width)
    aliases = [alias for alias, name in ALIASES.items() if name == command.name]
    if aliases:
        lines += ["", "Also: " + ", ".join(aliases)]
    if command.examples:
        lines += ["", _title("Examples")] + _examples(command.examples, width)
    return "\n".join(lines)


def _title(word: str) -> str:
    return terminal.paint(word, "bold")


def _listed(command: Command) -> str:
    return "  %s%s" % (command.name, " *" if command.experiment == "needed" else "")


def _typed(command: Command) -> str:
    return " ".join([command.name] + ([command.words] if command.words else []))


def _sentence(command: Command) -> str:
    text = command.summary[0].upper() + command.summary[1:] + "."
    return text + (" " + command.detail if command.detail else "")


def _arguments(table: Iterable[Setting]) -> Rows:
    return [("  " + shown_key(setting.name), _about_setting(setting)) for setting in table]


def _variables() -> Rows:
    return [("  " + s.name, _about_setting(s)) for s in settings.WORKER if not s.argument]


def _about_setting(setting: Setting) -> str:
    notes = []
    if setting.argument and setting.variable:
        notes.append(setting.variable)
    if setting.default is not None and not setting.is_flag:
        notes.append("default%s%s" % (_NBSP, setting.default))
    return setting.help + (" [%s]" % ", ".join(notes) if notes else "")


def _examples(examples: Iterable[str], width: int) -> list[str]:
    """Commands that can be copied: those that do not fit go on after a backslash."""
    lines: list[str] = []
    for example in examples:
        parts = textwrap.wrap(
            "%s %s" % (PROGRAM, example), width - 2, initial_indent="  ",
            subsequent_indent=" " * (len(PROGRAM) + 3), break_long_words=False,
            break_on_hyphens=False)
        lines += [part + " \\" for part in parts[:-1]] + parts[-1:]
    return lines


def _left(rows: Rows) -> int:
    """Where the second column begins; a few long names have a line of their own."""
    return max(len(name) for name, _ in rows if len(name) <= _LONG_NAME) + 2


def _columns(rows: Rows, left: int, width: int) -> list[str]:
    lines: list[str] = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, max(20, width - left), break_on_hyphens=False,
                                break_long_words=False)
        if len(name) + 2 > left:
            lines += [name] + [" " * left + more for more in wrapped]
        else:
            lines.append((name.ljust(left) + wrapped[0]).rstrip())
            lines += [" " * left + more for more in wrapped[1:]]
    return [line.replace(_NBSP, " ") for line in lines]


# ---- Markdown

_HEAD = """\
# Commands of {program}

This page is generated from the program's own tables: `python -m jd.cli.reference > docs/cli.md`.

Arguments are `key=value`, commands are bare words, in any order. `{program} help <command>` says the
same in a terminal. Exit status: 0 as asked, 1 failure, 2 wrong usage. With `json=true` a command prints
one JSON document on standard output and nothing else.
"""
_OF_THE_SHELL = """\
Trailing semicolons, comments (`#`) and quotes as in a shell are fine. With standard input that is no
terminal, each line is a command and the exit status is 1 if any of them failed.
"""
_VARIABLES = """\
## Variables

Variables of arguments are named beside them above. These are variables only.

| variable | default | meaning |
|---|---|---|"""


def markdown() -> str:
    """docs/cli.md."""
    lines = [_HEAD.format(program=PROGRAM)]
    for group in GROUPS:
        lines += _command_table(group.title, group.commands)
    lines += _command_table(_SHELL_TITLE, SHELL_COMMANDS.values())
    lines.append(_OF_THE_SHELL)
    for group in GROUPS:
        for command in group.commands:
            lines += _section(command)
    lines.append(_VARIABLES)
    lines += ["| `%s` | %s | %s |" % (s.name, _code(s.default), s.help)
              for s in settings.WORKER if not s.argument]
    return "\n".join(lines) + "\n"


def _command_table(title: str, group: Iterable[Command]) -> list[str]:
    return (["## " + title, "", "| command | what it does |", "|---|---|"]
            + ["| %s | %s |" % (
                _code(c.name) if c.name in SHELL_COMMANDS else "[`%s`](#%s)" % (c.name, c.name),
                c.summary.replace("|", "\\|")) for c in group] + [""])


def _section(command: Command) -> list[str]:
    lines = ["### " + command.name, "", "```", "%s %s" % (PROGRAM, command.usage), "```", "",
             _sentence(command), ""]
    if command.keys:
        lines += ["| argument | variable | default | meaning |", "|---|---|---|---|"]
        lines += ["| `%s` | %s | %s | %s |" % (
            shown_key(key).replace("|", "\\|"), _code(command.setting(key).variable),
            _code(command.setting(key).default), command.setting(key).help) for key in command.keys]
        lines.append("")
    if command.examples:
        lines += ["```bash"] + [("%s %s" % (PROGRAM, example)).rstrip()
                                for example in command.examples] + ["```", ""]
    return lines


def _code(text: str | None) -> str:
    return "`%s`" % text if text else ""


if __name__ == "__main__":
    sys.stdout.write(markdown())
