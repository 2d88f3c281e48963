"""docs/hub.md says what the code does."""

import argparse
import re
from typing import Dict, List

import pytest

from jd import settings
from jd.hub import cli
from tests.hub.hub_support import Bench
from tests.support import ROOT

PAGE = (ROOT / "docs" / "hub.md").read_text(encoding="utf-8")
ROWS = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("setting", settings.HUB, ids=lambda setting: setting.name)
def test_options_are_documented(setting: settings.Setting) -> None:
    flag = "--" + setting.name + ("" if setting.is_flag else " " + setting.metavar)
    assert [row[1:3] for row in ROWS if row[0] == flag] == [[setting.variable, setting.default or ""]]


def test_settings_are_unique_and_their_defaults_can_be_parsed() -> None:
    settings.resolve(settings.HUB, {}, {})
    for attribute in ("name", "key", "variable"):
        assert len({getattr(one, attribute) for one in settings.HUB}) == len(settings.HUB)


def commands_of(parser: argparse.ArgumentParser) -> Dict[str, argparse.ArgumentParser]:
    """The parsers of its commands, by name."""
    (action,) = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(action.choices)


def test_commands_are_documented() -> None:
    groups = commands_of(cli.make_parser())
    commands = {"backup"}
    for name in ("user", "key", "experiment"):
        commands |= {"%s %s" % (name, action) for action in commands_of(groups[name])}
    told = {" ".join(re.findall(r"^[a-z]+(?: [a-z-]+)?", part.strip())) for row in ROWS
            for part in row[0].split(",")}
    assert commands <= told


def test_routes_are_documented(bench: Bench) -> None:
    told = {row[0] for row in ROWS}
    assert {"%s %s" % (route.method, route.pattern) for route in bench.hub.router.routes} <= told


@pytest.mark.parametrize("words", [["user", "list"], ["key", "create"]])
def test_groups_answer_for_help(words: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(words + ["--help"])
    assert "--data DIR" in capsys.readouterr().out
