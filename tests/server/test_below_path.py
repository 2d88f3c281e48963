"""The dashboard below a path, as portals show it: redirects, pages and the cookie."""

from pathlib import Path

import pytest

from jd import settingvalues
from jd.net.addresses import path_of
from tests.server.dashboard_bench import PIN, Dashboard, Run
from tests.server.scenes import play


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a coroutine function on a Dashboard that a proxy shows below a path."""
    return lambda scenario: play(lambda: Dashboard(
        tmp_path / "ws", PIN, path_of("https://portal.example/node/n%201/5050/")), scenario)


def test_with_the_path_and_without_it_the_same_is_answered(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        cookie = dashboard.signed_in()
        for path in ("/jobs", "/jobs/7", "/web/me", "/static/app.js", "/healthz"):
            kept = await dashboard.send("GET", "/node/n%201/5050" + path, cookie=cookie)
            assert kept.status == 200
            if path != "/web/me":  # which tells the time
                assert kept.body == (await dashboard.send("GET", path, cookie=cookie)).body
        asked = await dashboard.send("GET", "/node/n%201/5050/jobs/7")
        assert (asked.status, asked.headers["Location"]) == (303, "../signin?next=%2Fjobs%2F7")
        bare = await dashboard.send("GET", "/node/n%201/5050")
        assert (bare.status, bare.headers["Location"]) == (308, "./5050/")
        assert (await dashboard.send("GET", "/node/n%201/5050/node/n%201/5050/jobs")).status == 404
        assert (await dashboard.send("GET", "/node/n%201/50505/jobs")).status == 404
        assert (await dashboard.send("GET", "/node/n%201/5050/web/me")).status == 401
    run(scenario)


@pytest.mark.parametrize("path, secure, begins", [
    (None, False, "jd_dashboard_"), ("/", True, "__Host-jd_dashboard_"),
    ("/node/n%201/5050/", False, "jd_dashboard_"), ("/node/n%201/5050/", True, "__Secure-jd_dashboard_")])
def test_the_cookie_goes_to_the_path_alone(run: Run, path: str, secure: bool, begins: str) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        told = {} if path is None else {"path": path}
        answer = await dashboard.send("POST", "/web/signin", dict(told, pin=PIN), secure=secure)
        assert answer.status == 200 and answer.cookie.startswith(begins)
        assert "; Path=%s; " % (path or "/") in answer.headers["Set-Cookie"]
        assert (await dashboard.send("GET", "/web/me", cookie=answer.cookie)).status == 200
        out = await dashboard.send("POST", "/web/signout", told, answer.cookie, secure=secure)
        assert "; Path=%s; Max-Age=0; " % (path or "/") in out.headers["Set-Cookie"]
    run(scenario)


def test_a_signin_that_is_over_hides_none_that_was_opened_below_the_path(run: Run) -> None:
    """Of a dashboard that is opened at the root of a host and below a path there a browser has two."""
    async def scenario(dashboard: Dashboard) -> None:
        async def signin(path: str) -> str:
            told = {"pin": PIN, "path": path}
            return (await dashboard.send("POST", "/web/signin", told, secure=True)).cookie

        async def signout(cookie: str) -> None:
            assert (await dashboard.send("POST", "/web/signout", {}, cookie, secure=True)).status == 200

        root = await signin("/")
        await signout(root)
        below = await signin("/node/")
        assert (await dashboard.send("GET", "/web/me", cookie="%s; %s" % (below, root))).status == 200
        both = "%s; %s" % (below, await signin("/"))
        await signout(both)
        assert (await dashboard.send("GET", "/web/me", cookie=both)).status == 401
    run(scenario)


@pytest.mark.parametrize("path", [
    "", "x/", "/x", "//", "/a;b/", "/a\r\n/", "/a b/", "/" + "x" * 500 + "/", 5])
def test_a_path_that_a_cookie_cannot_have_is_refused(run: Run, path: object) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        assert (await dashboard.send("POST", "/web/signin", {"pin": PIN, "path": path})).status == 400
    run(scenario)


def test_a_path_is_never_one_of_the_dashboard_itself(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        first = {route.pattern.split("/")[1] for route in dashboard.server.dashboard.routes} - {""}
        assert first == set(settingvalues._OF_DASHBOARD)
    run(scenario)
