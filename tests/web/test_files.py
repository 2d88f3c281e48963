"""Static files out of packages: types, tags, headers, what is not served; and every page's own files."""

import asyncio
import html.parser
import re

import pytest

from jd.hub import pages as hub_pages
from jd.net.routing import HttpError, Request
from jd.server.dashboard import pages as dashboard_pages
from jd.web.files import HEADERS, SHARED, Files, page, redirect
from tests.support import ROOT

DASHBOARD = ROOT / "jd" / "server" / "web"
PLACES = {"a.js": "jd.hub:web/signin.js", "index.html": "jd.hub:web/signin.html",
          "gone.js": "jd.hub:web/gone.js"}


def get(files, name, **headers):
    request = Request("GET", "/static/x", headers)
    request.params = {"name": name}
    return asyncio.run(files.static(request))


@pytest.mark.parametrize("name, kind", [("base.css", "text/css; charset=utf-8"), ("icon.svg",
                                                                                  "image/svg+xml"),
                                        ("a.js", "text/javascript; charset=utf-8")])
def test_a_file_has_its_type_and_is_closed_to_others(name, kind):
    answer = get(Files(PLACES), name)
    assert (answer.status, answer.content_type) == (200, kind) and answer.body
    assert HEADERS.items() <= answer.headers.items()
    assert answer.headers["Cache-Control"] == "no-cache"


def test_what_a_browser_has_is_not_sent_again():
    files = Files(PLACES)
    tag = get(files, "a.js").headers["ETag"]
    again = get(files, "a.js", **{"if-none-match": tag})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert get(files, "a.js", **{"if-none-match": '"old"'}).status == 200
    assert get(files, "base.css").headers["ETag"] != tag


@pytest.mark.parametrize("name", ["nope.js", "index.html", "../__init__.py", "signin.js", ""])
def test_only_what_is_listed_is_served_and_no_page(name):
    with pytest.raises(HttpError) as refused:
        get(Files(PLACES), name)
    assert refused.value.status == 404


def test_pages_are_read_by_their_name():
    files = Files(PLACES)
    assert files.content("index.html").startswith(b"<!doctype html>")
    with pytest.raises(FileNotFoundError):
        files.content("gone.js")
    assert page(b"x").headers == HEADERS
    led = redirect("/jobs?a=%20b")
    assert (led.status, led.headers["Location"]) == (303, "/jobs?a=%20b")


def test_every_file_of_the_dashboard_is_listed_and_there():
    assert len(set(dashboard_pages.FILES)) == len(dashboard_pages.FILES)
    assert sorted(path.name for path in DASHBOARD.iterdir()) == sorted(dashboard_pages.FILES)
    assert set(dashboard_pages.FILES) & set(SHARED) == set()


def test_every_file_of_the_hub_is_listed_and_there():
    assert sorted(path.name for path in (ROOT / "jd" / "hub" / "web").iterdir()) == sorted(hub_pages.PLACES)


class Links(html.parser.HTMLParser):
    """What a page loads."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.inline = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in ("link", "script", "img"):
            self.loaded.append(given.get("href") or given.get("src") or "nothing")
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self.inline += [tag] * (tag == "style")


PAGES = sorted(DASHBOARD.glob("*.html")) + sorted((ROOT / "jd" / "hub" / "web").glob("*.html"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: "%s-%s" % (path.parts[-3], path.name))
def test_pages_load_what_is_served_and_hold_nothing_that_the_policy_forbids(path):
    served = set(SHARED) | set(dashboard_pages.FILES if path.parent == DASHBOARD else hub_pages.PLACES)
    links = Links(path.read_text(encoding="utf-8").replace("{{script}}", "signin"))
    assert links.inline == []
    assert {link for link in links.loaded if not link.startswith("/static/")} == set()
    assert {link[len("/static/"):] for link in links.loaded} <= served


IMPORT = re.compile(r"""^(?:import|export)\b[\w\s{},*$]*["']([^"']+)["']""", re.MULTILINE)
DYNAMIC_IMPORT = re.compile(r"""\bimport\(["'`]([^"'`]+)""")
MARKUP = re.compile(r"(?:inner|outer)HTML\s*\+?=(?!=)|insertAdjacentHTML|document\.write|\beval\("
                    r"|new Function")
SCRIPTS = sorted(DASHBOARD.glob("*.js")) + sorted((ROOT / "jd" / "hub" / "web").glob("*.js")) + sorted(
    (ROOT / "jd" / "web").glob("*.js"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: "%s-%s" % (path.parts[-3], path.name))
def test_scripts_import_what_is_served_and_make_no_markup_of_data(path):
    text = path.read_text(encoding="utf-8")
    served = set(SHARED) | set(dashboard_pages.FILES if path.parent == DASHBOARD else hub_pages.PLACES)
    imported = IMPORT.findall(text) + DYNAMIC_IMPORT.findall(text)
    assert {name for name in imported if not (name.startswith("./") and name[2:] in served)} == set()
    assert MARKUP.findall(text) == []
