"""What people type: words of the command line, lines of the shell, options, values of settings."""

import contextlib
import io
import shlex
from functools import partial
from typing import Any, Dict, List, Sequence, Tuple

from jd import redaction, settings
from jd.cli import completing, main
from jd.cli.catalog import COMMANDS
from jd.cli.commandline import CommandLine
from jd.cli.shell.repl import Leave, Repl, statements
from jd.errors import EXIT_OK, UsageError
from jd.hub import cli as hub
from jd.server.command import commandline as server
from tests.fuzz.material import Source
from tests.fuzz.properties import Property, outcome, refused

KEYS = sorted({key for command in COMMANDS.values() for key in command.keys})
ENVIRON = {"HOME": "/nonexistent-home"}


# ---- jd_worker_cli


def _token(source: Source) -> str:
    kind = source.random()
    if kind < 0.35:
        return "%s=%s" % (source.maybe(source.of(KEYS), 0.2), value_text(source))
    if kind < 0.6:
        return source.maybe(source.of(list(COMMANDS)), 0.2)
    if kind < 0.7:
        return source.one(
            "-h", "--help", "-i", "-", "--", "=", "=x", "x=", "\\h", "\\q", "--num-workers", "--server"
        )
    return source.text(4, True)


def value_text(source: Source) -> str:
    """A value of a setting, or something else."""
    return source.one(
        source.number(),
        source.text(4),
        source.one("true", "false", "auto", "none", "YES", "0", "1h", "1.5G", "10m"),
        source.one(
            "http://h",
            "h:1",
            "[::1]",
            "::1",
            "http://[::1",
            "h:99999",
            "@/x",
            "@",
            "http://h:x",
            "http:///",
            "https://u:p@h/x?y#z",
            "//h",
        ),
        source.one(
            "~", "~nobody-here/x", "/tmp", "a:b", "*.json,ckpt/**", "**/**/**/**/**", "500,1G", ",", "1,2,3"
        ),
        source.one("127.0.0.1,::1", "10.0.0.0/8", "10.0.0.0/33", "-m a.b", "-m", "a 'b", '"', "a b"),
        source.long(source.one(1000, 4000, 20_000)) if source.chance(0.02) else source.word(),
    )


def make_tokens(source: Source) -> List[str]:
    """A command line."""
    if source.chance(0.002):
        return [source.one("-x", "a=b", "--", "serv=1", "run")] * source.one(9999, 10_001)
    return source.several(lambda: _token(source), 8)


def check_tokens(tokens: Sequence[str]) -> None:
    """A command line, inside the shell and outside, or a UsageError of at most a few lines."""
    for inside in (False, True):
        found = outcome(partial(main.parse, list(tokens), inside), UsageError)
        if refused(found):
            assert found[2] and found[2].count("\n") <= 2 and len(found[2]) < 30_000, found[2][:200]
        else:
            assert isinstance(found, CommandLine) and set(found.arguments).isdisjoint(found.unused)
    completing.answer([str(len(tokens)), "jd_worker_cli", *tokens][:20], ENVIRON)


def make_line(source: Source) -> str:
    """A line of the shell."""
    parts = []
    for _ in range(source.few(5)):
        tokens = source.several(lambda: _token(source), 4)
        parts.append(" ".join(shlex.quote(token) if source.chance(0.5) else token for token in tokens))
    return source.maybe(source.one(";", " ; ", "; #", " # ", ";;").join(parts), 0.3)


def check_line(line: str) -> None:
    """Nothing leaves the shell but the wish to; no statement has an end of another one in it."""
    ran: List[CommandLine] = []

    def run(found: CommandLine, _: Any) -> int:
        ran.append(found)
        return EXIT_OK

    repl = Repl(ENVIRON, run=run)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            repl.line(line)
        except Leave:
            pass
    assert "failed: " not in said.getvalue() or "JD_DEBUG" not in said.getvalue(), said.getvalue()[:300]
    assert sum(map(len, statements(line))) <= len(line)


# ---- jd_server, jd_hub


def make_options(source: Source) -> Tuple[List[str], Dict[str, str]]:
    """Options of the two servers, and variables."""
    table = source.one(settings.SERVER, settings.HUB)
    argv: List[str] = source.one(
        [], ["--expId", "demo"], ["serve"], ["user", "add"], ["key", "revoke"], ["experiment", "share"]
    )
    for _ in range(source.few(6)):
        setting = source.of(table)
        if source.chance(0.8):
            argv = [*argv, "--" + source.maybe(setting.name, 0.1)] + (
                [] if setting.is_flag else [value_text(source)]
            )
        else:
            argv = [*argv, source.text(3)]
    environ = {"HOME": "/nonexistent-home"}
    for _ in range(source.few(3)):
        variable = source.of(table).variable
        if variable:
            environ[variable] = value_text(source).replace("\0", "")
    return argv, environ


def check_options(given: Tuple[List[str], Dict[str, str]]) -> None:
    """Values, or a UsageError; only help and the version exit."""
    argv, environ = given
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        for read in (lambda: server.parse(list(argv), environ), lambda: _hub(argv, environ)):
            try:
                outcome(read, UsageError)
            except SystemExit as end:
                assert end.code == 0, said.getvalue()[:300]


def _hub(argv: Sequence[str], environ: Dict[str, str]) -> None:
    arguments = hub.make_parser().parse_args(list(argv))
    if arguments.words is not None:
        hub.values_of(arguments, environ)
    number = getattr(arguments, "id", None)
    assert number is None or 1 <= number < 2**53, number


# ---- values

TABLES = {
    "worker": settings.WORKER,
    "management": settings.MANAGEMENT,
    "server": settings.SERVER,
    "hub": settings.HUB,
}


def make_setting(source: Source) -> Tuple[str, str, str]:
    """A table, the name of a setting, and a text for it."""
    table = source.one(*TABLES)
    return table, source.of(TABLES[table]).name, source.maybe(value_text(source), 0.2)


def check_setting(given: Tuple[str, str, str]) -> None:
    """A value, or a UsageError that shows no secret; a value that was taken is taken again as a variable."""
    table, name, text = given
    setting = next(one for one in TABLES[table] if one.name == name)
    found = outcome(lambda: settings.resolve([setting], {name: text}, ENVIRON)[setting.key], UsageError)
    if refused(found):
        assert len(found[2]) < 1500, found[2]
        if setting.secret and len(text) > 8:
            assert text not in found[2]
    else:
        _check_size(found, name in ("gpus", "threads"))
    redaction.hidden(text)


def _check_size(value: Any, is_count: bool = False) -> None:
    """Numbers are as large as their programs can calculate with, also where they stay texts."""
    if is_count and isinstance(value, str) and value.isdigit():
        assert len(value) < 10 and int(value) <= 4096, value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert -(2**63) <= value <= 2**63
    if isinstance(value, tuple):
        for one in value:
            if isinstance(one, int):
                _check_size(one)


PROPERTIES = (
    Property(
        "command-line",
        make_tokens,
        check_tokens,
        ([], ["="], ["=", "="], ["\0"], ["\udcff=1"], ["-x"] * 9999, ["x" * 100_000], ["a" * 50_000 + "=b"]),
        weight=30,
    ),
    Property(
        "shell-line",
        make_line,
        check_line,
        ("\\", "'", '"', ";;;;", "use", "use a b", "use \udcff", "#", "exit x"),
        weight=40,
    ),
    Property(
        "options",
        make_options,
        check_options,
        (
            (["key", "revoke", "0" * 19 + "1" + "9" * 30], {}),
            (["--", "--expId"], {}),
            (["--expId"], {}),
            (["--jobs", "\0", "--expId", "a"], {}),
        ),
        weight=1,
    ),
    Property(
        "setting",
        make_setting,
        check_setting,
        (
            ("worker", "threads", "000000001" + "9" * 400),
            ("worker", "gpus", "000000001" + "9" * 400),
            ("worker", "memory", "64M" + " " * 60 + "x"),
            ("worker", "job_timeout", "1e400"),
            ("worker", "log_dir", "~\udcff"),
            ("worker", "api_key", "secret secret\n"),
        ),
        weight=50,
    ),
)
