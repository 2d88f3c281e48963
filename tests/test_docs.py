"""The documentation says what the code does."""

import re
from pathlib import Path
from typing import List

import pytest

import jd
from jd import protocol, settings
from tests.support import ROOT

DOCS = sorted((ROOT / "docs").rglob("*.md")) + [
    ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]


def rows(name: str) -> List[List[str]]:
    """Table rows of a page, as lists of cells without backquotes."""
    lines = (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines()
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
            for line in lines if line.startswith("|")]


@pytest.mark.parametrize("setting", settings.SERVER, ids=lambda setting: setting.name)
def test_server_options_are_documented(setting: settings.Setting) -> None:
    flag = "--" + setting.name + ("" if setting.is_flag else " " + setting.metavar)
    row = next(row for row in rows("server.md")
               if row[:2] == [flag if setting.argument else "", setting.variable or ""])
    assert row[2] == (setting.default or ("required" if setting.name == "expId" else ""))


@pytest.mark.parametrize("setting", settings.WORKER, ids=lambda setting: setting.name)
def test_worker_arguments_are_documented(setting: settings.Setting) -> None:
    row = next(row for row in rows("worker.md")
               if row[0] == (setting.name + "=" if setting.argument else "")
               and row[1] == (setting.variable or ""))
    if setting.default is not None:
        assert row[2] == setting.default


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_the_version_that_a_page_shows_is_that_of_the_package(page: Path) -> None:
    """In names of wheels, and in what the programs print."""
    shown = re.findall(r"\bjd_worker-(\d[\w.]*)-py3|^jd_(?:server|hub|worker_cli) (\d[\w.]*)",
                       page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {wheel or printed for wheel, printed in shown} <= {jd.__version__}


def test_every_extension_is_documented() -> None:
    assert set(protocol.EXTENSIONS) <= {row[0] for row in rows("protocol.md")}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), "%s links to %s" % (page.name, target)
