"""The pages about the code name what is there: docs/architecture.md, its picture, CONTRIBUTING.md."""

import ast
import re
from pathlib import Path
from typing import Iterator, List, Optional, Set

import pytest

from tests.support import ROOT

ARCHITECTURE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "images" / "house.svg"

# `path/file.py`, `path/`, `path/file.py:name`; the path is below the checkout or below jd/.
_PATH = re.compile(r"`([\w./-]+\.(?:py|js|css|html|md|toml)|[\w./-]+/)(?::([\w.]+))?`")
_MEMBER = re.compile(r"`([A-Z]\w*[a-z]\w*\.\w+)`")  # `Class.name`


def _names(nodes: List[ast.stmt], prefix: str = "") -> Iterator[str]:
    """What statements define: functions, variables, classes, and as `Class.name` what those have."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _names(node.body, node.name + ".")
        for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
            if isinstance(target, ast.Name):
                yield prefix + target.id


def _names_in(path: Path) -> Set[str]:
    return set(_names(ast.parse(path.read_text(encoding="utf-8")).body)) if path.suffix == ".py" else set()


def _place(path: str) -> Optional[Path]:
    return next((top / path for top in (ROOT, ROOT / "jd") if (top / path).exists()), None)


def wrong_names(text: str) -> List[str]:
    """What a page names in backticks and does not exist. A `Class.name` must be in one of the files named."""
    wrong: List[str] = []
    known: Set[str] = set()
    for path, name in _PATH.findall(text):
        place = _place(path)
        names = set() if place is None else _names_in(place)
        if place is None or (name and name not in names):
            wrong.append(path + (":" + name if name else ""))
        known |= names
    return wrong + [name for name in _MEMBER.findall(text) if name not in known]


@pytest.mark.parametrize("page", [ARCHITECTURE, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_what_a_page_about_the_code_names_exists(page: Path) -> None:
    assert wrong_names(page.read_text(encoding="utf-8")) == []


def test_a_name_that_is_gone_is_found() -> None:
    text = ("`net/client.py:Client.call`, `net/client.py:gone`, `nothing/here.py`, `cli/`, `nowhere/`, "
            "`Client.upload`, `Client.gone`")
    assert wrong_names(text) == ["net/client.py:gone", "nothing/here.py", "nowhere/", "Client.gone"]


SOURCES = sorted((ROOT / "jd").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_code_points_to_exists(path: Path) -> None:
    """`jd/…/file.py` and `jd.….name`, and "see `room.file`" from the file itself, its folder or one above."""
    text = path.read_text(encoding="utf-8")
    assert [name for name in re.findall(r"\bjd/[a-z_/]+\.py\b", text) if not (ROOT / name).exists()] == []
    above = [place for place in (path.with_suffix(""), *path.parents) if ROOT in (place, *place.parents)]
    assert [name for name in re.findall(r"(?:see |(?=`jd\.))`([a-z_.]+)`", text)
            if not any(_leads_somewhere(place, name) for place in above)] == []


def _leads_somewhere(folder: Path, name: str) -> bool:
    """Whether a dotted name is a room or a file in a folder, or something in that file."""
    path = folder.joinpath(*name.split("."))
    file = path.parent.with_suffix(".py")
    return path.is_dir() or path.with_suffix(".py").exists() or file.exists() and path.name in _names_in(file)


def test_table_and_picture_have_every_room() -> None:
    page, picture = (path.read_text(encoding="utf-8") for path in (ARCHITECTURE, PICTURE))
    rooms = {str(path.parent.relative_to(ROOT / "jd")) for path in (ROOT / "jd").glob("*/**/__init__.py")}
    assert rooms - set(re.findall(r"^\| `([\w/]+)/` \|", page, re.MULTILINE)) == set()
    assert [room for room in sorted(rooms) if room.rpartition("/")[2] not in picture] == []
    ground = {path.name for path in (ROOT / "jd").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert [name for name in sorted(ground) if "`%s`" % name not in page] == []
