"""Static files out of packages: types, tags, headers, what is not served; and every page's own files."""

import asyncio
import html.parser
import posixpath
import re
from pathlib import Path
from typing import List, Optional, Set, Tuple

import pytest

from jd.net.serving.routing import HttpError, Request, Response
from jd.web.files import HEADERS, Files, page, redirect
from tests.support import ROOT

DASHBOARD = ROOT / "jd" / "server" / "web"
HUB = ROOT / "jd" / "hub" / "web"
SHARED = ROOT / "jd" / "web"


def get(files: Files, name: str, **headers: str) -> Response:
    request = Request("GET", "/static/x", headers)
    request.params = {"name": name}
    return asyncio.run(files.static(request))


@pytest.mark.parametrize("name, kind", [
    ("base.css", "text/css; charset=utf-8"), ("icon.svg", "image/svg+xml"),
    ("signin.js", "text/javascript; charset=utf-8"), ("jobs/job.css", "text/css; charset=utf-8")])
def test_a_file_has_its_type_and_is_closed_to_others(name: str, kind: str) -> None:
    answer = get(Files("jd.server"), name)
    assert (answer.status, answer.content_type) == (200, kind) and answer.body
    assert HEADERS.items() <= answer.headers.items()
    assert answer.headers["Cache-Control"] == "no-cache"


def test_what_a_browser_has_is_not_sent_again() -> None:
    files = Files("jd.server")
    tag = get(files, "signin.js").headers["ETag"]
    again = get(files, "signin.js", **{"if-none-match": tag})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert get(files, "signin.js", **{"if-none-match": '"old"'}).status == 200
    assert get(files, "base.css").headers["ETag"] != tag


@pytest.mark.parametrize("name", [
    "nope.js", "index.html", "../__init__.py", "../web/app.js", "jobs/../app.js", "/etc/passwd.js", "jobs",
    "jobs/", "app.js\n", "App.js", "files.py", ""])
def test_only_scripts_styles_and_pictures_below_web_are_served(name: str) -> None:
    with pytest.raises(HttpError) as refused:
        get(Files("jd.server"), name)
    assert refused.value.status == 404


def test_pages_are_read_by_their_name() -> None:
    files = Files("jd.server")
    assert files.content("index.html").startswith(b"<!doctype html>")
    with pytest.raises(FileNotFoundError):
        files.content("gone.html")
    assert page(b"x").headers == HEADERS
    led = redirect("/jobs?a=%20b")
    assert (led.status, led.headers["Location"]) == (303, "/jobs?a=%20b")


def served_by(directory: Path) -> Set[str]:
    """What `/static/` has for the pages in a directory, by the rule that a test above holds."""
    return {path.relative_to(base).as_posix() for base in (directory, SHARED) for path in base.rglob("*")
            if path.suffix in (".js", ".css", ".svg")}


@pytest.mark.parametrize("package, directory", [("jd.server", DASHBOARD), ("jd.hub", HUB)])
def test_every_file_below_web_is_served_and_hides_no_shared_one(package: str, directory: Path) -> None:
    names = served_by(directory)
    assert len(names) > 5
    files = Files(package)
    assert {get(files, name).status for name in names} == {200}
    assert not {path.name for path in directory.iterdir()} & {path.name for path in SHARED.iterdir()}


class Links(html.parser.HTMLParser):
    """What a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: List[str] = []
        self.inline: List[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: List[Tuple[str, Optional[str]]]) -> None:
        given = dict(attributes)
        if tag in ("link", "script", "img"):
            self.loaded.append(given.get("href") or given.get("src") or "nothing")
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self.inline += [tag] * (tag == "style")


PAGES = sorted(DASHBOARD.glob("*.html")) + sorted(HUB.glob("*.html"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: "%s-%s" % (path.parts[-3], path.name))
def test_pages_load_what_is_served_and_hold_nothing_that_the_policy_forbids(path: Path) -> None:
    served = served_by(path.parent)
    links = Links(path.read_text(encoding="utf-8").replace("{{script}}", "signin"))
    assert links.inline == []
    assert {link for link in links.loaded if not link.startswith("/static/")} == set()
    assert {link[len("/static/"):] for link in links.loaded} <= served


IMPORT = re.compile(r"""^(?:import|export)\b[\w\s{},*$]*["']([^"']+)["']""", re.MULTILINE)
DYNAMIC_IMPORT = re.compile(r"""\bimport\(["'`]([^"'`]+)""")
MARKUP = re.compile(r"(?:inner|outer)HTML\s*\+?=(?!=)|insertAdjacentHTML|document\.write|\beval\("
                    r"|new Function")
SCRIPTS = [(base, path) for base in (DASHBOARD, HUB, SHARED) for path in sorted(base.rglob("*.js"))]


@pytest.mark.parametrize("base, path", SCRIPTS, ids=lambda path: path.relative_to(ROOT / "jd").as_posix())
def test_scripts_import_what_is_served_and_make_no_markup_of_data(base: Path, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    imported = IMPORT.findall(text) + DYNAMIC_IMPORT.findall(text)
    assert [name for name in imported if not name.startswith(("./", "../"))] == []
    here = path.parent.relative_to(base).as_posix()
    assert {posixpath.normpath(posixpath.join(here, name)) for name in imported} <= served_by(base)
    assert MARKUP.findall(text) == []
