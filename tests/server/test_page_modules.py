"""Which modules a page has its browser load at once, compared with what its scripts import."""

import posixpath
import re
from typing import Set

import pytest

from jd.server.dashboard.modules import PageModules
from jd.server.dashboard.pages import PAGES
from jd.web.files import Files
from tests.support import ROOT

WEB, SHARED = ROOT / "jd" / "server" / "web", ROOT / "jd" / "web"


def reached(name: str, found: Set[str]) -> Set[str]:
    """All that a module imports when it is loaded, itself too."""
    found.add(name)
    path = WEB / name if (WEB / name).exists() else SHARED / name
    for statement in re.findall(r"^(?:import|export)\b.*?;$", path.read_text(encoding="utf-8"), re.M | re.S):
        source = re.search(r'"(\.[^"]*)";$', statement)
        if source:
            other = posixpath.normpath(posixpath.join(posixpath.dirname(name), source.group(1)))
            if other not in found:
                reached(other, found)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_all_that_its_first_sight_needs(page: str) -> None:
    links = PageModules(Files("jd.server")).links(page.replace("<int:id>", "7")).decode("ascii")
    named = re.findall(r'^<link rel="modulepreload" href="\{\{static\}\}(\S+)">$', links, re.M)
    room = "jobs" if page.startswith("/jobs") else page[1:]
    own = "jobs/job.js" if page.startswith("/jobs/") else "%s/%s.js" % (room, room)
    assert set(named) == reached("app.js", set()) | reached(own, set())
    assert len(named) == len(set(named)) == links.count("<")


def test_an_address_that_no_page_has_names_the_shell_alone() -> None:
    assert b"jobs/jobs.js" not in PageModules(Files("jd.server")).links("/nothing")
