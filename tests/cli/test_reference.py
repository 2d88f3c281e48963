"""The reference that the program has in it, and the page made from it."""

import importlib.util
import shlex
from typing import List

import pytest

from jd import settings
from jd.cli import reference
from jd.cli.catalog import COMMANDS, GROUPS, SHELL_COMMANDS, Command, argument, module_of
from jd.errors import UsageError
from jd.settings import Given
from tests.support import ROOT


def test_the_page_is_the_one_that_the_program_makes() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == reference.markdown(), "run: python -m jd.cli.reference > docs/cli.md"


@pytest.mark.parametrize("width", [80, 96])
def test_everything_is_in_the_overview(width: int) -> None:
    text = reference.overview(width)
    for group in GROUPS:
        assert "\n%s\n" % group.title in text
        assert all("\n  %s " % command.name in text for command in group.commands)
    for setting in settings.WORKER + settings.MANAGEMENT:
        assert "\n  " + setting.name + ("=" if setting.argument else " ") in text
        assert setting.default is None or setting.is_flag or setting.default in text
    assert "\n  use [<name>]" in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("command", list(COMMANDS.values()) + list(SHELL_COMMANDS.values()),
                         ids=lambda command: command.name)
def test_help_for_one_command(command: Command) -> None:
    text = reference.about(command, 80)
    assert command.usage.split()[0] in text.splitlines()[0]
    for key in command.keys:
        assert "\n  %s=" % key in text
    assert text.count("  jd_worker_cli") >= len(command.examples)
    assert max(map(len, text.splitlines())) <= 80


def test_an_example_that_does_not_fit_can_still_be_copied() -> None:
    lines = reference._examples(["expId=digits-tune entry_script=train.py num_workers=4"], 70)
    assert [line.endswith(" \\") for line in lines] == [True, False]


@pytest.mark.parametrize("name, usage", [
    ("run", "expId=<name> [run] entry_script=<path> [key=value ...]"),
    ("stop", "[expId=<name>] stop all|<worker-id>|job=<N>|all-experiments [confirm-stop=true] [json=true]"),
    ("scale", "expId=<name> scale num_workers=<N>"),
    ("worker-logs", "expId=<name> worker-logs <worker-id> [lines=<N>] [follow=true]"),
    ("help", "help [<command>]"), ("clear_all", "clear_all [confirm-clear-all=true]"),
])
def test_usage(name: str, usage: str) -> None:
    assert COMMANDS[name].usage == usage


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_every_command_is_there(command: Command) -> None:
    name = module_of(command.name)
    assert importlib.util.find_spec(name) is not None
    assert set(command.required) <= set(command.arguments)


@pytest.mark.parametrize("example", [
    (command.name, example) for command in COMMANDS.values() for example in command.examples],
    ids=lambda example: example[1][:40])
def test_examples_are_what_the_program_takes(example: List[str]) -> None:
    from jd.cli.main import parse
    name, line = example
    words = shlex.split(line.partition(" > ")[0])
    if words:
        parsed = parse(words)
        assert (parsed.command or "run") == name
        for key, value in parsed.arguments.items():
            settings.parse_given(argument(key), Given(value, key))
    with pytest.raises(UsageError):
        parse(words + ["nokey=1"])
