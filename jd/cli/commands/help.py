"""`jd_worker_cli help`: derived from the tables of settings and commands."""

import textwrap
from typing import List, Mapping, Sequence, Tuple

import jd
from jd import settings, terminal
from jd.cli.tokens import CommandLine, no_words
from jd.settings import Setting

WIDTH = 96


def run(line: CommandLine, environ: Mapping[str, str]) -> int:
    """Print the reference of the command line."""
    no_words(line)
    print(text())
    return 0


def text() -> str:
    """The whole help text."""
    from jd.cli.main import COMMANDS  # it imports this module only when asked for help
    arguments = [setting for setting in settings.WORKER if setting.argument]
    variables = [setting for setting in settings.WORKER if not setting.argument]
    parts = [
        "jd_worker_cli %s - runs your script once for each job of a sweep" % jd.__version__,
        "",
        _title("Usage"),
        "  jd_worker_cli expId=<name> entry_script=<path> foreground=true [key=value ...]",
        "  jd_worker_cli <command> [key=value ...]",
        "",
        _title("Commands"),
    ]
    parts += _columns([("  " + name, summary) for name, summary in COMMANDS.items()])
    parts += ["", _title("Arguments") + ", each with the variable that can be set instead"]
    parts += _columns([("  %s=%s" % (s.name, "true" if s.is_flag else "<%s>" % s.metavar), _about(s))
                       for s in arguments])
    parts += ["", _title("Variables")]
    parts += _columns([("  " + s.name, _about(s)) for s in variables])
    parts += [
        "",
        _title("Example"),
        "  jd_worker_cli expId=digits-tune entry_script=train.py server=192.168.1.10 port=8000 \\",
        "                foreground=true once=true",
    ]
    return "\n".join(parts)


def _title(word: str) -> str:
    return terminal.paint(word, "bold")


def _about(setting: Setting) -> str:
    notes = []
    if setting.argument and setting.variable:
        notes.append(setting.variable)
    if setting.default is not None:
        notes.append("default %s" % setting.default)
    return setting.help + (" [%s]" % ", ".join(notes) if notes else "")


def _columns(rows: Sequence[Tuple[str, str]]) -> List[str]:
    left = max(len(name) for name, _ in rows) + 2
    lines: List[str] = []
    for name, about in rows:
        wrapped = textwrap.wrap(about, WIDTH - left) or [""]
        lines.append(name.ljust(left) + wrapped[0])
        lines += [" " * left + more for more in wrapped[1:]]
    return lines
