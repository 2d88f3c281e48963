"""docs/hub.md says what the code does."""

import re

import pytest

from jd import settings
from jd.hub import cli
from tests.support import ROOT

PAGE = (ROOT / "docs" / "hub.md").read_text(encoding="utf-8")
ROWS = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("setting", settings.HUB, ids=lambda setting: setting.name)
def test_options_are_documented(setting):
    flag = "--" + setting.name + ("" if setting.is_flag else " " + setting.metavar)
    assert [row[1:3] for row in ROWS if row[0] == flag] == [[setting.variable, setting.default or ""]]


def test_settings_are_unique_and_their_defaults_can_be_parsed():
    settings.resolve(settings.HUB, {}, {})
    for attribute in ("name", "key", "variable"):
        assert len({getattr(one, attribute) for one in settings.HUB}) == len(settings.HUB)


def test_commands_are_documented():
    groups = cli.make_parser()._subparsers._group_actions[0].choices
    commands = {"backup"}
    for name in ("user", "key", "experiment"):
        actions = groups[name]._subparsers._group_actions[0].choices
        commands |= {"%s %s" % (name, action) for action in actions}
    told = {" ".join(re.findall(r"^[a-z]+(?: [a-z-]+)?", part.strip())) for row in ROWS
            for part in row[0].split(",")}
    assert commands <= told


def test_routes_are_documented(bench):
    told = {row[0] for row in ROWS}
    assert {"%s %s" % (route.method, route.pattern) for route in bench.hub.router.routes} <= told


@pytest.mark.parametrize("words", [["user", "list"], ["key", "create"]])
def test_groups_answer_for_help(words, capsys):
    with pytest.raises(SystemExit):
        cli.main(words + ["--help"])
    assert "--data DIR" in capsys.readouterr().out
