"""Static files out of packages: types, tags, headers, what is not served; and what the pages are made of."""

import asyncio
import gzip
import html.parser
import posixpath
import re
import zipfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

import pytest

from jd.net.serving.routing import HttpError, Request, Response
from jd.server.dashboard.pages import PAGES as DASHBOARD_PAGES
from jd.web.files import HEADERS, Files, redirect
from tests.support import ROOT

DASHBOARD = ROOT / "jd" / "server" / "web"
HUB = ROOT / "jd" / "hub" / "web"
SHARED = ROOT / "jd" / "web"
WIDEST = 110
STATIC = "{{static}}"  # for which the server puts the way from a page to it


def get(files: Files, name: str, **headers: str) -> Response:
    """The answer for a file; headers with _ for -."""
    request = Request("GET", "/static/x", {key.replace("_", "-"): value for key, value in headers.items()})
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
    again = get(files, "signin.js", if_none_match=tag)
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert get(files, "signin.js", if_none_match='"old"').status == 200
    assert get(files, "base.css").headers["ETag"] != tag


def version(files: Files) -> str:
    """The folder of the present version, as pages name it."""
    shown = files.page(Request("GET", "/"), b"{{static}}").body.decode()
    found = re.fullmatch(r"\./static/(v-[0-9a-f]{16}/)", shown)
    assert found, shown
    return found.group(1)


def test_a_file_is_kept_for_ever_below_its_version_and_asked_about_elsewhere() -> None:
    files = Files("jd.server")
    now, plain = version(files), get(files, "jobs/job.css")
    kept = get(files, now + "jobs/job.css")
    assert kept.body == plain.body and kept.content_type == plain.content_type
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    again = get(files, now + "jobs/job.css", if_none_match=kept.headers["ETag"])
    assert (again.status, again.headers["Cache-Control"]) == (304, kept.headers["Cache-Control"])
    # A page that was open when the server was updated still gets what it asks for.
    old = get(files, "v-0123456789abcdef/jobs/job.css")
    assert (old.status, old.body, old.headers["Cache-Control"]) == (200, plain.body, "no-cache")
    for name in ("index.html", "nope.js", "", now + "app.js"):
        with pytest.raises(HttpError):
            get(files, now + name)


def test_the_version_is_that_of_what_the_files_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = set()
    for name, content in (("one", "a"), ("same", "a"), ("other", "b")):
        for path in ("__init__.py", "web/room/page.js", "web/room/notes.txt"):
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(content if path.endswith(".js") else "# %s" % name)
        files = Files(name)
        assert files.content("room/page.js") == content.encode()
        seen.add((content, version(files)))
        # What the package holds later is for the next start.
        (tmp_path / name / "web/room/page.js").write_text("later")
        assert get(files, "room/page.js").body == content.encode()
    assert len(seen) == 2


def test_a_package_in_a_zip_file_has_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("top/__init__.py", "")
        packed.writestr("top/inner/__init__.py", "")
        packed.writestr("top/inner/web/room/page.js", "a")
        packed.writestr("top/inner/web/room/page.py", "b")
        packed.writestr("top/inner/webs/page.js", "c")
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    files = Files("top.inner")
    assert files.content("room/page.js") == b"a" and get(files, "base.css").body
    for name in ("room/page.py", "page.js", "s/page.js"):
        with pytest.raises(KeyError):
            files.content(name)


@pytest.mark.parametrize("accepted, small", [
    ("gzip", True), ("gzip, deflate, br", True), ("br;q=1, GZIP;q=0.5", True), ("", False), ("br", False),
    ("gzip;q=0", False), ("gzip; q=0.0, br", False), ("x-gzip", False)])
def test_a_browser_that_takes_gzip_gets_less(accepted: str, small: bool) -> None:
    files = Files("jd.server")
    whole, answer = get(files, "app.js"), get(files, "app.js", accept_encoding=accepted)
    assert whole.headers["Vary"] == answer.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in whole.headers
    assert answer.headers.get("Content-Encoding") == ("gzip" if small else None)
    assert (gzip.decompress(answer.body) if small else answer.body) == whole.body
    assert not small or len(answer.body) < len(whole.body) / 2


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
    with pytest.raises(KeyError):
        files.content("gone.html")


@pytest.mark.parametrize("asked, base", [
    ("/", "./"), ("/jobs?a=b", "./"), ("/jobs/7", "../"), ("/a/b/c", "../../")])
def test_a_page_names_the_rest_of_its_site_relative_to_its_own_address(asked: str, base: str) -> None:
    request = Request("GET", asked)
    shown = Files("jd.server").page(request, b"<a href='{{base}}jobs'>")
    assert shown.headers == HEADERS and shown.body.decode() == "<a href='%sjobs'>" % base
    led = redirect(request, "/jobs?a=%20b")
    assert (led.status, led.headers["Location"]) == (303, base + "jobs?a=%20b")


@pytest.mark.parametrize("package", ["jd.server", "jd.hub"])
def test_a_refusal_says_what_it_is_and_leads_to_where_the_site_begins(package: str) -> None:
    error = HttpError(404, "there is nothing at '/a/<b>{{base}}'", {"X-Fact": "1"})
    shown = Files(package).refusal(Request("GET", "/a/b"), error)
    text = shown.body.decode()
    assert (shown.status, shown.content_type) == (404, "text/html; charset=utf-8")
    assert dict(HEADERS, **error.headers) == shown.headers
    assert text.count("Nothing is here") == 2 and '<a class="button primary" href="../">' in text
    assert "There is nothing at &#x27;/a/&lt;b&gt;{{base}}&#x27;." in text
    other = Files(package).refusal(Request("GET", "/a"), HttpError(507, "the disk is full."))
    assert (other.status, b"The disk is full.<" in other.body) == (507, True)


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


# ---- pages

class Links(html.parser.HTMLParser):
    """What a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: List[str] = []
        self.inline: List[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: List[Tuple[str, Optional[str]]]) -> None:
        """Note what the tag loads, and what the policy forbids."""
        given = dict(attributes)
        if tag in ("link", "script", "img"):
            self.loaded.append(given.get("href") or given.get("src") or "nothing")
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self.inline += [tag] * (tag == "style")


PAGES = sorted(DASHBOARD.glob("*.html")) + sorted(HUB.glob("*.html")) + sorted(SHARED.glob("*.html"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: "%s-%s" % (path.parts[-3], path.name))
def test_pages_load_what_is_served_and_hold_nothing_that_the_policy_forbids(path: Path) -> None:
    served = served_by(path.parent)
    links = Links(path.read_text(encoding="utf-8").replace("{{script}}", "signin"))
    assert links.inline == []
    assert {link for link in links.loaded if not link.startswith(STATIC)} == set()
    assert {link[len(STATIC):] for link in links.loaded} <= served


def test_every_style_sheet_of_the_dashboard_is_loaded_by_its_shell() -> None:
    links = Links((DASHBOARD / "index.html").read_text(encoding="utf-8"))
    sheets = {name for name in served_by(DASHBOARD) if name.endswith(".css")}
    assert {link[len(STATIC):] for link in links.loaded if link.endswith(".css")} == sheets


def test_every_page_of_the_dashboard_has_a_script_in_its_room() -> None:
    routes = ROUTE.findall((DASHBOARD / "app.js").read_text(encoding="utf-8"))
    assert {re.sub(r":\w+", "<int:id>", pattern) for pattern, _ in routes} == set(DASHBOARD_PAGES)
    for pattern, name in routes:
        assert name.split("/")[1] == pattern.split("/")[1], "%s is shown by %s" % (pattern, name)
        assert "export async function show(" in (DASHBOARD / name).read_text(encoding="utf-8")


# ---- scripts

IMPORT = re.compile(r'^import\s+(?:\*\s+as\s+(\w+)|\{([^}]*)\})\s+from\s+"([^"]+)";$', re.MULTILINE)
# What is loaded when somebody opens it: a page by its route, and a part of a page.
ROUTE = re.compile(r'^  route\("([^"]+)", "([^"]+)"', re.MULTILINE)
LATER = re.compile(r'\(await import\("([^"]+)"\)\)\.([\w$]+)\(')
ANY_IMPORT = re.compile(r"^import\b|^export\s*[*{]|\bimport\((?!found\.module\))", re.MULTILINE)
EXPORT = re.compile(r"^export\s+(?:async\s+)?(?:const|let|class|function\*?)\s+([\w$]+)", re.MULTILINE)
ANY_EXPORT = re.compile(r"^export\b", re.MULTILINE)
MARKUP = re.compile(r"(?:inner|outer)HTML\s*\+?=(?!=)|insertAdjacentHTML|document\.write|\beval\("
                    r"|new Function")
SCRIPTS = [(base, path) for base in (DASHBOARD, HUB, SHARED) for path in sorted(base.rglob("*.js"))]
SCRIPT_IDS = [path.relative_to(ROOT / "jd").as_posix() for _, path in SCRIPTS]


class Used(NamedTuple):
    """A script that another one imports, and the names that it takes from there."""

    name: str
    """As served, such as jobs/table.js."""
    names: Set[str]


def imports(base: Path, path: Path) -> List[Used]:
    """What a script imports, by itself or when something is opened."""
    text = path.read_text(encoding="utf-8")
    here = path.parent.relative_to(base).as_posix()

    def served(name: str) -> str:
        assert name.startswith(("./", "../")), name
        return posixpath.normpath(posixpath.join(here, name))

    found = []
    for module, names, name in IMPORT.findall(text):
        taken = {one.split(" as ")[0].strip() for one in names.split(",")} - {""}
        if module:
            taken = set(re.findall(r"(?<![\w/])%s\.([\w$]+)" % module, text))
        found.append(Used(served(name), taken))
    found += [Used(served(name), {"show"}) for _, name in ROUTE.findall(text)]
    return found + [Used(served(name), {called}) for name, called in LATER.findall(text)]


@pytest.mark.parametrize("base, path", SCRIPTS, ids=SCRIPT_IDS)
def test_scripts_import_what_is_served_and_make_no_markup_of_data(base: Path, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    read = len(IMPORT.findall(text)) + len(LATER.findall(text))
    assert len(ANY_IMPORT.findall(text)) == read, "an import that these tests cannot read"
    assert {used.name for used in imports(base, path)} <= served_by(base)
    assert MARKUP.findall(text) == []


def test_every_export_is_imported_somewhere_and_every_import_is_exported() -> None:
    exported: Dict[Path, Set[str]] = {}
    for _, path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        exported[path] = set(EXPORT.findall(text))
        assert len(ANY_EXPORT.findall(text)) == len(exported[path]), "%s: an export not understood" % path
    imported: Dict[Path, Set[str]] = {path: set() for path in exported}
    for base, path in SCRIPTS:
        for used in imports(base, path):
            target = base / used.name if (base / used.name).exists() else SHARED / used.name
            assert used.names <= exported[target], "%s takes %s" % (path, used)
            imported[target] |= used.names
    unused = {path.relative_to(ROOT).as_posix(): sorted(names - imported[path])
              for path, names in exported.items() if names - imported[path]}
    assert unused == {}


SHARED_ROOM = "charts"
ROOMS = sorted(path.name for path in DASHBOARD.iterdir() if path.is_dir() and path.name != SHARED_ROOM)


@pytest.mark.parametrize("path", [path for base, path in SCRIPTS if base == DASHBOARD],
                         ids=lambda path: path.relative_to(DASHBOARD).as_posix())
def test_no_page_imports_out_of_the_room_of_another(path: Path) -> None:
    own = path.relative_to(DASHBOARD).parts[0]
    rooms = {used.name.partition("/")[0] for used in imports(DASHBOARD, path) if "/" in used.name}
    if own == "app.js":
        assert rooms == set(ROOMS)  # the shell opens them all
    else:
        assert rooms <= {own, SHARED_ROOM}


# ---- how they are laid out

@pytest.mark.parametrize("directory", [DASHBOARD, HUB, SHARED], ids=["server", "hub", "shared"])
def test_no_line_is_wider_than_a_reader_takes_in(directory: Path) -> None:
    wide = ["%s:%d" % (path.relative_to(ROOT), number) for path in sorted(directory.rglob("*"))
            if path.suffix in (".js", ".css", ".html")
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
            if len(line) > WIDEST or line != line.rstrip()]
    assert wide == []
