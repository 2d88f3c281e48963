"""Sign-in with the PIN: cookies, limits, pages."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

from jd import settingvalues
from jd.auth import apikeys, passwords
from jd.auth.trylimit import ELSEWHERE, HERE
from jd.hub import cli as hub_cli
from jd.net.serving.proxies import Proxies
from jd.server.command import commandline
from jd.server.dashboard import pages
from jd.server.dashboard.signin import IN_ALL, PER_ADDRESS
from jd.server.store.operators import pin as stored_pin
from jd.server.store.operators import signins, wrongpins
from jd.server.store.schema import MIGRATIONS
from tests.server.dashboard_bench import HOST, PIN, Answer, Dashboard, Run
from tests.server.scenes import play
from tests.server.store_support import Desk
from tests.users import ANOTHER
from tests.users import OTHER as OTHER_USER

OTHER = "739105"
ME = os.geteuid()
# Who is not held up by users of the machine: the owner, root, and who comes from elsewhere.
PEOPLE: List[Dict[str, Any]] = [dict(uid=ME), dict(uid=0), dict(peer="192.0.2.7")]
PUBLIC = {"/healthz", "/", "/signin", "/static/<path:name>", "/web/signin", "/web/signout"} | set(pages.PAGES)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a coroutine function on a Dashboard whose PIN is PIN."""
    return lambda scenario: play(lambda: Dashboard(tmp_path / "ws", PIN), scenario)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking takes no time."""
    monkeypatch.setattr(passwords, "verify", lambda pin, known: known is not None and pin == PIN)


async def signin(dashboard: Dashboard, pin: str = PIN, **options: Any) -> Answer:
    return await dashboard.send("POST", "/web/signin", {"pin": pin}, **options)


async def status_of(dashboard: Dashboard, cookie: str) -> int:
    return (await dashboard.send("GET", "/web/me", cookie=cookie)).status


# ---- sign-ins

def test_sign_in_and_sign_out(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        answer = await signin(dashboard)
        assert answer.status == 200 and answer.json == {"success": True}
        name, _, secret = answer.cookie.partition("=")
        assert name == "jd_dashboard_" + dashboard.experiment.server_id and len(secret) >= 43
        assert answer.headers["Set-Cookie"].split("; ")[1:] == [
            "Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Strict"]
        me = await dashboard.send("GET", "/web/me", cookie=answer.cookie)
        assert me.json == {"expId": "exp", "version": me.json["version"], "hub": False, "hub_url": None,
                           "server_url": None, "server_id": dashboard.experiment.server_id,
                           "now": dashboard.now}
        dump = await dashboard.experiment.read(lambda db: "\n".join(db.iterdump()))
        assert secret not in dump and "'%s'" % PIN not in dump
        out = await dashboard.send("POST", "/web/signout", {}, cookie=answer.cookie)
        assert out.status == 200 and "Max-Age=0" in out.headers["Set-Cookie"]
        assert await status_of(dashboard, answer.cookie) == 401
        assert (await dashboard.send("POST", "/web/signout", {})).status == 200
    run(scenario)


def test_wrong_pins_are_told_to_who_signs_in_next(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        async def told() -> Dict[str, Any]:
            answer = await dashboard.send("GET", "/web/settings", cookie=cookie)
            return dict(answer.json["wrong_pins"])
        cookie = dashboard.signed_in()
        assert await told() == {"since": None, "before": None}
        first = dashboard.now
        for _ in range(2):
            assert (await signin(dashboard, OTHER)).status == 403
            dashboard.now += 60
        await dashboard.send("POST", "/web/pin", {"current": OTHER, "new": "193847"}, cookie=cookie)
        peer = (await told())["since"]["addresses"][0]
        wrong = {"count": 3, "first": first, "last": first + 120, "addresses": [peer]}
        assert await told() == {"since": wrong, "before": None}
        answer = await signin(dashboard)
        assert answer.json == {"success": True, "wrong_pins": wrong}
        assert await told() == {"since": None, "before": wrong}
        assert (await signin(dashboard)).json == {"success": True}
        dump = await dashboard.experiment.read(lambda db: "\n".join(db.iterdump()))
        assert OTHER not in dump
    run(scenario)


def test_an_address_that_a_header_claims_is_not_told_nor_limited(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for number in range(PER_ADDRESS):
            assert (await signin(dashboard, OTHER, x_forwarded_for="192.0.2.%d" % number)).status == 403
        assert (await signin(dashboard, x_forwarded_for="192.0.2.99")).status == 429
        found = await dashboard.experiment.read(wrongpins.since)
        assert found is not None
        assert found.times == PER_ADDRESS and not found.addresses[0].startswith("192.0.2.")
    run(scenario)


def test_only_the_latest_addresses_are_kept(desk: Desk) -> None:
    for number in range(20):
        desk.write(lambda t: wrongpins.count(t, "192.0.2.%d" % number))
    found = desk.read(wrongpins.since)
    assert found is not None
    assert found.addresses == ["192.0.2.%d" % n for n in (19, 18, 17, 16, 15)]


def test_two_servers_on_one_host_have_cookies_of_their_own(run: Run, tmp_path: Path) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        other = Dashboard(tmp_path / "other", PIN)
        try:
            both = "; ".join((dashboard.signed_in(), other.signed_in()))
            assert await status_of(dashboard, both) == await status_of(other, both) == 200
        finally:
            other.close()
    run(scenario)


@pytest.mark.parametrize("options", [{"secure": True}, {"origin": "https://" + HOST}])
def test_on_https_the_cookie_is_for_this_host_and_https_alone(run: Run, options: Dict[str, Any]) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        answer = await signin(dashboard, **options)
        assert answer.cookie.startswith("__Host-jd_dashboard_")
        assert answer.headers["Set-Cookie"].endswith("; Secure")
        assert await status_of(dashboard, answer.cookie) == 200
    run(scenario)


def test_a_signin_ends_after_seven_days(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        cookie = dashboard.signed_in()
        dashboard.now += signins.LIFETIME - 1
        assert await status_of(dashboard, cookie) == 200
        dashboard.now += 1
        assert await status_of(dashboard, cookie) == 401
        dashboard.signed_in()
        count = await dashboard.experiment.read(
            lambda db: db.execute("SELECT count(*) FROM sessions").fetchone()[0])
        assert count == 1
    run(scenario)


def test_a_signin_is_good_for_who_signed_in(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        async def works(cookie: str, **sender: Any) -> bool:
            asked = [await dashboard.send("GET", "/web/me", cookie=cookie, **sender),
                     await dashboard.send("POST", "/web/settings", {"values": {}}, cookie=cookie, **sender)]
            statuses = {answer.status for answer in asked}
            stream = await dashboard.stream("/web/events", cookie, **sender)
            page = await dashboard.send("GET", "/jobs", cookie=cookie, **sender)
            assert (401 in statuses) is (stream == 401) is (page.status == 303)
            assert statuses == {401} or 401 not in statuses
            return 401 not in statuses
        mine = (await signin(dashboard, uid=ME)).cookie
        others: List[Dict[str, Any]] = [
            dict(uid=OTHER_USER), dict(uid=0 if ME else 1), dict(uid=None),
            dict(uid=ME, x_forwarded_for="10.0.0.1"), dict(uid=ME, forwarded="for=10.0.0.1"),
            dict(uid=ME, host="evil.example"), dict(uid=ME, peer="192.0.2.7")]
        assert await works(mine, uid=ME)
        for sender in others:
            assert not await works(mine, **sender), sender
        assert await works(mine, uid=ME), "nobody else ended it"
        # Who comes from elsewhere has a sign-in as ever, which is no good here.
        for sender in others[2:]:
            cookie = (await signin(dashboard, **sender)).cookie
            assert await works(cookie, uid=None, peer="198.51.100.1"), sender
            assert not await works(cookie, uid=ME) and not await works(cookie, uid=OTHER_USER)
    run(scenario)


def test_behind_a_proxy_that_was_named_there_are_no_users(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        dashboard.server.signin._proxies = Proxies(settingvalues.proxy_list("127.0.0.1"))
        cookie = (await signin(dashboard, uid=33, x_forwarded_for="192.0.2.7")).cookie
        senders: List[Dict[str, Any]] = [
            dict(uid=33, x_forwarded_for="192.0.2.8"), dict(uid=33), dict(uid=None)]
        for sender in senders:
            assert (await dashboard.send("GET", "/web/me", cookie=cookie, **sender)).status == 200
    run(scenario)


def test_nobody_else_signs_somebody_out(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        mine = dashboard.signed_in(ME)
        assert (await dashboard.send("POST", "/web/signout", {}, cookie=mine, uid=OTHER_USER)).status == 200
        assert (await dashboard.send("GET", "/web/me", cookie=mine, uid=ME)).status == 200
    run(scenario)


def test_signins_that_do_not_say_whose_they_are_end(tmp_path: Path) -> None:
    with closing(sqlite3.connect(str(tmp_path / "jobs.db"))) as old:
        old.executescript("".join(MIGRATIONS[:4]) + "PRAGMA user_version = 4;")
        old.execute("INSERT INTO sessions (digest, expires_at) VALUES (?, 2e9)", (apikeys.digest("secret"),))
        old.commit()
    desk = Desk(tmp_path)
    try:
        digest = apikeys.digest("secret")
        for uid in (None, ME, OTHER_USER):
            assert not desk.read(lambda db: signins.lasts(db, digest, uid, desk.now))
        secret = desk.write(lambda t: signins.begin(t, ME))
        assert desk.read(lambda db: signins.lasts(db, apikeys.digest(secret), ME, desk.now))
    finally:
        desk.database.close()


def test_so_many_signins_and_the_oldest_give_way(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signins, "MAX_SIGNINS", 2)

    async def scenario(dashboard: Dashboard) -> None:
        cookies = []
        for _ in range(3):
            dashboard.now += 1
            cookies.append(dashboard.signed_in())
        assert [await status_of(dashboard, cookie) for cookie in cookies] == [401, 200, 200]
    run(scenario)


@pytest.mark.parametrize("pin", ["", "12345", "1234567", "abcdef", "\u0664\u0668\u0662\u0669\u0661\u0663"])
def test_what_is_no_pin_is_told_and_counts_as_no_attempt(run: Run, pin: str) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for _ in range(PER_ADDRESS + 1):
            answer = await signin(dashboard, pin)
            assert answer.status == 400 and answer.error == "a PIN has 6 digits"
        assert (await signin(dashboard, "482 913")).status == 200
    run(scenario)


@pytest.mark.parametrize("body", [{}, {"pin": None}, {"pin": 482913}, {"pin": ["482913"]}, []])
def test_other_bodies_are_refused(run: Run, body: Any) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        answer = await dashboard.send("POST", "/web/signin", body)
        assert answer.status == 400 and "482913" not in answer.error
    run(scenario)


def test_before_there_is_a_pin_nobody_comes_in(run: Run, tmp_path: Path) -> None:
    async def scenario(_dashboard: Dashboard) -> None:
        bare = Dashboard(tmp_path / "bare")
        try:
            assert (await signin(bare)).status == 403
        finally:
            bare.close()
    run(scenario)


def test_a_hash_that_this_python_cannot_check_is_explained(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        await dashboard.experiment.write(lambda t: stored_pin.change(t, "argon$x$y"))
        answer = await signin(dashboard)
        assert answer.status == 503 and "jd_server pin reset" in answer.error
    run(scenario)


# ---- limits

def test_attempts_are_limited_by_address(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for _ in range(PER_ADDRESS):
            answer = await signin(dashboard, OTHER)
            assert answer.status == 403 and answer.error == "the PIN is wrong"
        late = await signin(dashboard)
        assert late.status == 429 and late.headers["Retry-After"] == "600"
        assert "try again in 10 min" in late.error
        assert (await signin(dashboard, x_forwarded_for="192.0.2.7")).status == 429
        assert (await signin(dashboard, peer="192.0.2.8", x_forwarded_for="127.0.0.1")).status == 200
        dashboard.server.signin._proxies = Proxies(settingvalues.proxy_list("127.0.0.1"))
        assert (await signin(dashboard, x_forwarded_for="192.0.2.7")).status == 200
        dashboard.ticks += 600
        for _ in range(PER_ADDRESS + 1):  # right ones do not count
            assert (await signin(dashboard)).status == 200
    run(scenario)


def test_one_network_of_ipv6_is_one_address(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for number in range(PER_ADDRESS):
            assert (await signin(dashboard, OTHER, peer="2001:db8::%x" % (number + 1))).status == 403
        assert (await signin(dashboard, peer="2001:db8::ffff")).status == 429
        assert (await signin(dashboard, peer="2001:db8:0:1::1")).status == 200
    run(scenario)


def test_many_addresses_cannot_search_and_signins_go_on(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        cookie = dashboard.signed_in()
        for number in range(IN_ALL[ELSEWHERE]):
            assert (await signin(dashboard, OTHER, peer="192.0.%d.%d" % divmod(number, 256))).status == 403
        assert (await signin(dashboard, peer="198.51.100.1")).status == 429
        assert await status_of(dashboard, cookie) == 200
        dashboard.ticks += 600
        assert (await signin(dashboard, peer="198.51.100.1")).status == 200
    run(scenario)


def test_right_pins_do_not_give_attempts_to_others(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for number in range(IN_ALL[ELSEWHERE] - 1):
            await signin(dashboard, OTHER, peer="192.0.%d.%d" % divmod(number, 256))
        assert (await signin(dashboard, peer="198.51.100.1")).status == 200
        assert (await signin(dashboard, OTHER, peer="198.51.100.2")).status == 403
        assert (await signin(dashboard, OTHER, peer="198.51.100.3")).status == 429
    run(scenario)


@pytest.mark.parametrize("disguise", [{}, {"x_forwarded_for": "192.0.2.7"}, {"host": "evil.example"}])
def test_another_user_of_the_machine_locks_out_nobody_but_himself(run: Run, quick: None,
                                                                  disguise: Dict[str, str]) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for number in range(PER_ADDRESS):
            sent = dict(disguise, peer="127.0.0.%d" % (number + 1))
            assert (await signin(dashboard, OTHER, uid=OTHER_USER, **sent)).status == 403
        assert (await signin(dashboard, uid=OTHER_USER, peer="127.0.0.99", **disguise)).status == 429
        assert (await signin(dashboard, uid=OTHER_USER)).status == 429
        senders: List[Dict[str, Any]] = [
            dict(uid=ME), dict(uid=0), dict(uid=ANOTHER), dict(uid=None), dict(peer="192.0.2.7")]
        for sender in senders:
            assert (await signin(dashboard, **sender)).status == 200, sender
    run(scenario)


def test_thousands_of_users_cannot_search_and_hold_up_only_each_other(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        tried = [(await signin(dashboard, OTHER, uid=100000 + number // 2)).status
                 for number in range(2 * IN_ALL[HERE])]
        assert tried == [403] * IN_ALL[HERE] + [429] * IN_ALL[HERE]
        assert (await signin(dashboard, uid=OTHER_USER)).status == 429
        for sender in PEOPLE:
            assert (await signin(dashboard, **sender)).status == 200, sender
        dashboard.ticks += 600
        assert (await signin(dashboard, uid=OTHER_USER)).status == 200
    run(scenario)


def test_no_number_of_addresses_holds_up_who_sits_at_the_machine(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for number in range(IN_ALL[ELSEWHERE]):
            await signin(dashboard, OTHER, peer="192.0.%d.%d" % divmod(number, 256))
        assert (await signin(dashboard, peer="198.51.100.1")).status == 429
        for uid in (ME, 0, OTHER_USER):
            assert (await signin(dashboard, uid=uid)).status == 200
        # A right one gives back what it took, and no more.
        for number in range(IN_ALL[HERE] - 1):
            await signin(dashboard, OTHER, uid=100000 + number)
        for uid, pin, status in ((OTHER_USER, PIN, 200), (OTHER_USER, OTHER, 403), (ANOTHER, PIN, 429)):
            assert (await signin(dashboard, pin, uid=uid)).status == status
    run(scenario)


def test_who_hides_by_closing_at_once_holds_up_neither_the_owner_nor_elsewhere(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        tried = [(await signin(dashboard, OTHER, peer="127.0.1.%d" % number)).status
                 for number in range(1, 251)]
        assert tried == [403] * IN_ALL[HERE] + [429] * (250 - IN_ALL[HERE])
        for sender in PEOPLE:
            assert (await signin(dashboard, **sender)).status == 200, sender
    run(scenario)


def test_all_together_have_three_hundred_attempts() -> None:
    assert sum(IN_ALL.values()) == 300


def test_the_owner_too_has_only_so_many_attempts(run: Run, quick: None) -> None:
    """His programs are not all his: a tunnel, or a proxy without headers, speaks for others."""
    async def scenario(dashboard: Dashboard) -> None:
        for _ in range(PER_ADDRESS):
            assert (await signin(dashboard, OTHER, uid=ME)).status == 403
        assert (await signin(dashboard, uid=ME)).status == 429
        assert (await signin(dashboard, uid=OTHER_USER)).status == 200
    run(scenario)


def test_who_comes_through_a_proxy_of_the_owner_does_not_lock_him_out(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for _ in range(PER_ADDRESS):
            assert (await signin(dashboard, OTHER, uid=ME, x_forwarded_for="192.0.2.7")).status == 403
        assert (await signin(dashboard, uid=ME, x_forwarded_for="192.0.2.8")).status == 429
        assert (await signin(dashboard, uid=ME)).status == 200
    run(scenario)


def test_wrong_pins_of_a_user_of_the_machine_are_told_with_name_and_number(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for sender in (dict(uid=0), dict(uid=OTHER_USER), dict(uid=None), dict(uid=OTHER_USER)):
            await signin(dashboard, OTHER, **sender)
        found = (await signin(dashboard)).json["wrong_pins"]
        assert found["count"] == 4
        assert found["addresses"] == ["uid %d" % OTHER_USER, "127.0.0.1", "root (uid 0)"]
    run(scenario)


# ---- another PIN

def test_a_new_pin_signs_everybody_out(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        mine, others = dashboard.signed_in(), dashboard.signed_in()
        file = dashboard.experiment.meta_dir / "pin"
        file.write_text(PIN)
        answer = await dashboard.send("POST", "/web/pin", {"current": PIN, "new": OTHER}, cookie=mine)
        assert not file.exists()
        assert answer.status == 200 and "Max-Age=0" in answer.headers["Set-Cookie"]
        assert await status_of(dashboard, mine) == await status_of(dashboard, others) == 401
        assert (await signin(dashboard)).status == 403
        assert (await signin(dashboard, OTHER)).status == 200
    run(scenario)


@pytest.mark.parametrize("body, status, says", [
    ({"current": OTHER, "new": "193847"}, 403, "wrong"), ({"current": PIN, "new": "123456"}, 400,
                                                          "easy to guess"),
    ({"current": PIN, "new": "12345"}, 400, "6 digits"), ({"current": PIN}, 400, "new is missing"),
    ({"new": OTHER}, 400, "current is missing")])
def test_a_pin_that_cannot_be_changed_changes_nothing(run: Run, quick: None, body: Dict[str, str],
                                                      status: int, says: str) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        cookie = dashboard.signed_in()
        answer = await dashboard.send("POST", "/web/pin", body, cookie=cookie)
        assert answer.status == status and says in answer.error
        assert await status_of(dashboard, cookie) == 200
    run(scenario)


def test_changing_the_pin_is_no_way_around_the_limit(run: Run, quick: None) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        cookie = dashboard.signed_in()
        for _ in range(PER_ADDRESS):
            await dashboard.send("POST", "/web/pin", {"current": OTHER, "new": "193847"}, cookie=cookie)
        assert (await signin(dashboard)).status == 429
    run(scenario)


def test_a_pin_that_was_checked_before_it_changed_opens_nothing(run: Run,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        def verify(_pin: str, known: str) -> bool:  # in this moment a command sets another
            dashboard.experiment.write_now(lambda t: stored_pin.change(t, known + "+"))
            return True
        monkeypatch.setattr(passwords, "verify", verify)
        assert (await signin(dashboard)).status == 403
        cookie = dashboard.signed_in()
        answer = await dashboard.send("POST", "/web/pin", {"current": PIN, "new": OTHER}, cookie=cookie)
        assert answer.status == 409
    run(scenario)


def test_a_pin_of_the_hub_counts_once_and_signs_everybody_out(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        write = dashboard.experiment.write
        cookie = dashboard.signed_in()
        assert await write(lambda t: stored_pin.take_from_hub(t, 7, "first"))
        assert await status_of(dashboard, cookie) == 401
        await write(lambda t: stored_pin.change(t, "changed here"))
        for number in (7, 3):
            assert not await write(lambda t: stored_pin.take_from_hub(t, number, "again"))
        assert await dashboard.experiment.read(stored_pin.stored) == "changed here"
        assert await dashboard.experiment.read(stored_pin.from_hub) == 7
    run(scenario)


# ---- who may what

def test_only_these_are_for_everybody(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        assert {route.pattern for route in dashboard.server.dashboard.routes if route.public} == PUBLIC
    run(scenario)


def test_every_other_route_wants_a_signin(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        foreign = "jd_dashboard_0123456789abcdef=" + dashboard.signed_in().partition("=")[2]
        for route in dashboard.server.dashboard.routes:
            if not route.public:
                for cookie in (None, foreign, "jd_dashboard_%s=x" % dashboard.experiment.server_id):
                    answer = await dashboard.send(route.method, route.pattern.replace("<int:id>", "1"),
                                                  {} if route.method == "POST" else None, cookie)
                    assert answer.status == 401, route.pattern
    run(scenario)


def test_other_sites_cannot_write(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        for route in dashboard.server.dashboard.routes:
            if route.method == "POST":
                path = route.pattern.replace("<int:id>", "1")
                foreign = await dashboard.send("POST", path, {}, dashboard.signed_in(),
                                               origin="https://evil.example")
                assert foreign.status == 403, path
                form = await dashboard.send("POST", path, None, dashboard.signed_in(),
                                            content_type="application/x-www-form-urlencoded")
                assert form.status == 415, path
    run(scenario)


# ---- pages

def test_pages_lead_to_the_sign_in_and_back(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        async def leads(path: str, cookie: Optional[str] = None) -> Tuple[int, Optional[str]]:
            answer = await dashboard.send("GET", path, cookie=cookie)
            return answer.status, answer.headers.get("Location")
        cookie = dashboard.signed_in()
        assert await leads("/") == (303, "./signin")
        assert await leads("/", cookie) == await leads("/signin", cookie) == (303, "./jobs")
        assert await leads("/jobs/7") == (303, "../signin?next=%2Fjobs%2F7")
        assert await leads("/jobs?filter=lr%3D0.1%20%26&x=%C3%A4") == (
            303, "./signin?next=%2Fjobs%3Ffilter%3Dlr%253D0.1%2B%2526%26x%3D%25C3%25A4")
        for path in ("/jobs", "/jobs/7", "/results", "/workers", "/settings?a=b"):
            answer = await dashboard.send("GET", path, cookie=cookie)
            assert answer.status == 200 and b"/app.js" in answer.body and b"{{" not in answer.body
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert (await leads("/nowhere", cookie))[0] == 404
    run(scenario)


def test_the_sign_in_page_names_the_experiment_and_is_closed_to_others(run: Run) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        answer = await dashboard.send("GET", "/signin")
        text = answer.body.decode("utf-8")
        assert answer.status == 200 and "Sign in to exp<" in text and "{{" not in text
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        script = await dashboard.send("GET", "/static/signin.js")
        assert script.status == 200
        assert (await dashboard.send("GET", "/static/index.html")).status == 404
    run(scenario)


def test_proxies_are_named_one_by_one_or_in_a_variable() -> None:
    wanted = settingvalues.proxy_list("10.0.0.1,fd00::/8")
    flags = ["--trusted-proxy", "10.0.0.1", "--trusted-proxy", "fd00::/8"]
    assert commandline.parse(["--expId", "e"] + flags, {})["trusted_proxy"] == wanted
    given = hub_cli.make_parser().parse_args(["serve"] + flags)
    assert hub_cli.values_of(given, {})["trusted_proxy"] == wanted
    variable = {"JD_SERVER_TRUSTED_PROXY": "10.0.0.1, fd00::/8"}
    assert commandline.parse(["--expId", "e"], variable)["trusted_proxy"] == wanted
