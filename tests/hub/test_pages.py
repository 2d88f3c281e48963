"""The Hub's web pages without a browser: sessions, limits, who may what, headers."""

import asyncio
import os
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from jd import settingvalues
from jd.auth import passwords
from jd.auth.trylimit import PER_ACCOUNT, PER_ACCOUNT_HERE, PER_ADDRESS, TryLimit
from jd.hub import pages
from jd.hub.app import Hub
from jd.hub.store import accounts, signins
from jd.net.serving.proxies import Proxies
from jd.net.serving.routing import Request, Response
from tests.hub.hub_support import ALICE, BOB, EXPERIMENTS, Answer, Bench, mentions

PASSWORD = "correct horse"
ADMIN = "admin@example.org"
# Every route that wants a session, with a body that it takes.
GUARDED = [
    ("GET", "/web/me", None),
    ("GET", "/web/experiments", None),
    ("POST", "/web/experiments", {"name": "new"}),
    ("POST", "/web/experiments/check", {"name": "new"}),
    ("POST", "/web/experiments/exp/share", {"email": BOB}),
    ("POST", "/web/experiments/exp/unshare", {"email": BOB}),
    ("POST", "/web/experiments/exp/pin", {}),
    ("POST", "/web/experiments/exp/delete", {"confirm": "exp"}),
    ("GET", "/web/api-keys", None),
    ("POST", "/web/api-keys", {"name": "new"}),
    ("POST", "/web/api-keys/1/revoke", {}),
    ("GET", "/web/users", None),
    ("POST", "/web/users", {"email": "new@example.org"}),
    ("POST", "/web/users/link", {"email": ALICE}),
    ("POST", "/web/users/suspend", {"email": ALICE}),
    ("POST", "/web/users/resume", {"email": ALICE}),
]
OF_OWNER = [route for route in GUARDED if "/exp/" in route[1] or "/1/" in route[1]]
OF_ADMIN = [route for route in GUARDED if "/users" in route[1]]


class Site:
    """Alice with an experiment and a key, Bob, and an administrator; all know their password."""

    def __init__(self, bench: Bench, stored: str) -> None:
        self.bench, self.ticks = bench, 0.0
        bench.hub = Hub(bench.data, tries=TryLimit(clock=lambda: self.ticks))
        self.alice_id, self.key = bench.user(ALICE)
        bench.user(BOB)
        bench.write(accounts.add_user, ADMIN, True, "test")
        bench.data.write_now(lambda db, _now: db.execute("UPDATE users SET password = ?", (stored,)))
        self.stored = stored
        bench.experiment("exp", self.alice_id)

    def signed_in(self, email: str, uid: Optional[int] = None) -> str:
        """The Cookie header of a new session."""
        return self.bench.signed_in(email, self.stored, uid)

    def call(self, method: str, target: str, cookie: Optional[str] = None,
             body: Optional[Dict[str, str]] = None, **headers: Any) -> Answer:
        if cookie is not None:
            headers["cookie"] = cookie
        return self.bench.call(method, target, None, body, **headers)

    def signin(self, email: str = ALICE, password: str = PASSWORD, **headers: Any) -> Answer:
        return self.call("POST", "/web/signin", None, {"email": email, "password": password}, **headers)

    def page(self, path: str, cookie: Optional[str] = None) -> Response:
        headers = {} if cookie is None else {"cookie": cookie}
        return asyncio.run(self.bench.hub.router.dispatch(Request("GET", path, headers)))


@pytest.fixture(scope="module")
def stored() -> str:
    """The password as it is stored: once for all, because that is slow on purpose."""
    return passwords.encode(PASSWORD)


@pytest.fixture
def site(bench: Bench, stored: str) -> Iterator[Site]:
    made = Site(bench, stored)
    yield made
    made.bench.hub._signin.close()


def cookie_of(answer: Answer) -> str:
    return answer.headers["Set-Cookie"].partition(";")[0]


# ---- sessions

def test_sign_in_and_sign_out(site: Site) -> None:
    answer = site.signin(email=ALICE.upper())
    assert answer.status == 200
    attributes = answer.headers["Set-Cookie"].split("; ")[1:]
    assert attributes == ["Path=/", "Max-Age=604800", "HttpOnly", "SameSite=Lax"]
    cookie = cookie_of(answer)
    assert site.call("GET", "/web/me", cookie).body == {"email": ALICE, "admin": False}
    secret = cookie.partition("=")[2]
    assert len(secret) >= 43
    dump = "\n".join(site.bench.data.database.read(lambda db: list(db.iterdump())).result(10))
    assert mentions(dump, [secret, PASSWORD]) == []
    out = site.call("POST", "/web/signout", cookie, {})
    assert out.status == 200 and "Max-Age=0" in out.headers["Set-Cookie"]
    assert site.call("GET", "/web/me", cookie).status == 401


def test_the_cookie_is_secure_under_an_https_base_url(site: Site) -> None:
    site.bench.data.publish({"hub_url": "https://hub.example"})
    answer = site.signin()
    assert answer.headers["Set-Cookie"].startswith("__Host-jd_hub_session=")
    assert answer.headers["Set-Cookie"].endswith("; Secure")
    assert site.call("GET", "/web/me", cookie_of(answer)).status == 200


@pytest.mark.parametrize("https, begins", [(False, "jd_hub_session="), (True, "__Secure-jd_hub_session=")])
def test_the_cookie_is_for_the_path_that_the_browser_tells(site: Site, https: bool, begins: str) -> None:
    if https:
        site.bench.data.publish({"hub_url": "https://portal.example/hub/"})
    told: Dict[str, Any] = {"email": ALICE, "password": PASSWORD, "path": "/user/ann/hub/"}
    answer = site.call("POST", "/web/signin", None, told)
    assert answer.headers["Set-Cookie"].startswith(begins)
    assert "; Path=/user/ann/hub/; " in answer.headers["Set-Cookie"]
    cookie = cookie_of(answer)
    assert site.call("GET", "/web/me", cookie).status == 200
    out = site.call("POST", "/web/signout", cookie, {"path": "/user/ann/hub/"})
    assert "; Path=/user/ann/hub/; Max-Age=0; " in out.headers["Set-Cookie"]
    wrong: Tuple[Any, ...] = ("/a;b/", "/a\r\n/", "x/", 5)
    for path in wrong:
        assert site.call("POST", "/web/signin", None, {**told, "path": path}).status == 400


def test_a_session_that_is_over_hides_none_that_was_opened_below_a_path(site: Site) -> None:
    """Of a Hub that is opened at the root of a host and below a path there, a browser has two cookies."""
    site.bench.data.publish({"hub_url": "https://portal.example/hub/"})
    told: Dict[str, Any] = {"email": ALICE, "password": PASSWORD}
    root = cookie_of(site.call("POST", "/web/signin", None, told))
    assert site.call("POST", "/web/signout", root, {}).status == 200
    below = cookie_of(site.call("POST", "/web/signin", None, {**told, "path": "/hub/"}))
    assert site.call("GET", "/web/me", "%s; %s" % (below, root)).status == 200
    root = cookie_of(site.call("POST", "/web/signin", None, told))
    both = "%s; %s" % (below, root)
    assert site.call("POST", "/web/signout", both, {"path": "/hub/"}).status == 200
    assert site.call("GET", "/web/me", both).status == 401


def test_a_session_ends_after_seven_days(site: Site) -> None:
    cookie = site.signed_in(ALICE)
    site.bench.now += signins.LIFETIME - 1
    assert site.call("GET", "/web/me", cookie).status == 200
    site.bench.now += 1
    assert site.call("GET", "/web/me", cookie).status == 401
    assert site.bench.write(lambda db, now: signins.prune(db, now, 10)) == 1


def test_a_session_is_good_for_who_signed_in(site: Site) -> None:
    here = cookie_of(site.signin(uid=1000))
    assert site.call("GET", "/web/me", here, uid=1000).status == 200
    senders: List[Dict[str, Any]] = [
        {"uid": 1001}, {"uid": None}, {"uid": 1000, "x_forwarded_for": "10.0.0.1"},
        {"uid": 1000, "host": "evil.example"}]
    for sender in senders:
        assert site.call("GET", "/web/me", here, **sender).status == 401
        elsewhere = cookie_of(site.signin(**dict(sender, uid=None)))
        assert site.call("GET", "/web/me", elsewhere, uid=1000).status == 401
        assert site.call("GET", "/web/me", elsewhere).status == 200


def test_a_suspension_and_a_new_password_end_sessions(site: Site) -> None:
    cookie, other = site.signed_in(ALICE), site.signed_in(BOB)
    site.bench.write(accounts.suspend, ALICE, "test")
    assert site.call("GET", "/web/me", cookie).status == 401
    answer = site.signin()
    assert answer.status == 403 and "suspended" in answer.body["error"]
    assert not answer.headers.get("Set-Cookie")
    site.bench.write(accounts.resume, ALICE, "test")
    assert site.call("GET", "/web/me", cookie).status == 401  # and stays ended
    _, token = site.bench.write(accounts.invite_again, BOB, "test")
    site.bench.write(lambda db, now: accounts.sign_up(db, token, "hash", None, now))
    assert site.call("GET", "/web/me", other).status == 401
    # A password that was checked before it changed opens nothing.
    assert site.bench.write(signins.sign_in, BOB, site.stored, None) is None


def test_a_user_has_so_many_sessions(site: Site) -> None:
    cookies = []
    for _ in range(signins.MAX_SIGNINS + 1):
        site.bench.now += 1
        cookies.append(site.signed_in(ALICE))
    assert [site.call("GET", "/web/me", one).status for one in (cookies[0], cookies[1])] == [401, 200]


# ---- limits

def test_wrong_passwords_and_unknown_accounts_look_the_same(site: Site) -> None:
    wrong, unknown = site.signin(password="wrong horse"), site.signin(email="nobody@example.org")
    assert wrong.status == unknown.status == 403 and wrong.body == unknown.body
    site.bench.write(accounts.add_user, "invited@example.org", False, "test")
    assert site.signin(email="invited@example.org").body == wrong.body


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "verify", lambda password, stored: stored is not None
                        and password == PASSWORD)


def test_attempts_are_limited_by_account(site: Site, quick: None) -> None:
    for _ in range(PER_ACCOUNT):
        assert site.signin(password="wrong").status == 403
    answer = site.signin()
    assert answer.status == 429 and "try again in 10 min" in answer.body["error"]
    assert answer.headers["Retry-After"] == "600"
    assert site.signin(email=BOB).status == 200
    site.ticks += 600
    assert site.signin().status == 200
    for _ in range(PER_ACCOUNT):  # a success takes the account's attempts back
        assert site.signin().status == 200


def test_attempts_are_limited_by_address(site: Site, quick: None) -> None:
    for number in range(PER_ADDRESS):
        assert site.signin(email="u%d@example.org" % number).status == 403
    assert site.signin().status == 429
    # A header alone is no other address: anybody on this machine could write it.
    assert site.signin(x_forwarded_for="127.0.0.1, 192.0.2.7").status == 429
    # The proxy that was named tells the client; what the client claims stands before that.
    site.bench.hub._signin._proxies = Proxies(settingvalues.proxy_list("127.0.0.1"))
    assert site.signin(x_forwarded_for="127.0.0.1, 192.0.2.7").status == 200


def test_another_user_of_the_machine_locks_nobody_out(site: Site, quick: None) -> None:
    me, other, another = os.geteuid(), 54321, 54322
    for number in range(PER_ADDRESS):
        email = ALICE if number < PER_ACCOUNT else "u%d@example.org" % number
        assert site.signin(email, "wrong", uid=other, x_forwarded_for="192.0.2.7").status == 403
    assert site.signin(uid=other).status == site.signin(BOB, uid=other).status == 429
    for uid in (me, 0, another, None):
        assert site.signin(uid=uid).status == 200
    # Whoever has many numbers of users still has not many attempts at one account.
    for number in range(PER_ACCOUNT_HERE - PER_ACCOUNT):
        assert site.signin(password="wrong", uid=100000 + number).status == 403
    assert site.signin(uid=another).status == 429 and site.signin(BOB, uid=another).status == 200
    for sender in (dict(uid=me), dict(uid=0), dict(peer="192.0.2.7")):
        assert site.signin(**sender).status == 200
    # Nor is there an email address by which one counts as another.
    for _ in range(PER_ACCOUNT):
        site.signin("user %d, account %s" % (me, ALICE), "wrong", peer="192.0.2.8")
    assert site.signin(uid=me).status == 200


# ---- sign-up

def test_sign_up_works_once(site: Site) -> None:
    _, token = site.bench.write(accounts.invite, "new@example.org", False, "test")
    assert site.call("POST", "/web/signup-link", None, {"token": token}).body == {
        "email": "new@example.org", "min_chars": 10}
    short = site.call("POST", "/web/signup", None, {"token": token, "password": "x" * 9})
    assert short.status == 400 and "at least 10" in short.body["error"]
    answer = site.call("POST", "/web/signup", None, {"token": token, "password": PASSWORD})
    assert answer.status == 200
    assert site.call("GET", "/web/me", cookie_of(answer)).body["email"] == "new@example.org"
    for route in ("signup", "signup-link"):
        again = site.call("POST", "/web/" + route, None, {"token": token, "password": PASSWORD})
        assert again.status == 403 and token not in again.body["error"]


# ---- who may what

def test_every_route_of_pages_is_listed_here(bench: Bench) -> None:
    public = {"/web/signin", "/web/signout", "/web/signup", "/web/signup-link"}
    routes = [route for route in bench.hub.router.routes if route.pattern.startswith("/web/")]
    assert {route.pattern for route in routes if route.public} == public
    assert len(routes) == len(GUARDED) + len(public)


@pytest.mark.parametrize("method, target, body", GUARDED)
def test_a_session_is_needed_and_a_key_is_none(site: Site, method: str, target: str,
                                               body: Optional[Dict[str, str]]) -> None:
    for cookie in (None, "jd_hub_session=", "jd_hub_session=x"):
        assert site.call(method, target, cookie, body).status == 401
    assert site.bench.call(method, target, site.key, body).status == 401
    if method == "POST":
        foreign = site.call(method, target, site.signed_in(ADMIN), body, origin="https://evil.example")
        assert foreign.status == 403
        form = site.call(method, target, site.signed_in(ADMIN), None,
                         content_type="application/x-www-form-urlencoded")
        assert form.status == 415


def test_a_session_is_no_key(site: Site) -> None:
    assert site.call("GET", EXPERIMENTS + "/exp", site.signed_in(ALICE)).status == 401


@pytest.mark.parametrize("method, target, body", OF_OWNER)
@pytest.mark.parametrize("email", [BOB, ADMIN])
def test_what_is_of_others_does_not_exist(site: Site, email: str, method: str, target: str,
                                          body: Dict[str, str]) -> None:
    assert site.call(method, target, site.signed_in(email), body).status == 404
    assert site.call(method, target, site.signed_in(ALICE), body).status == 200


def test_a_share_lets_see_and_nothing_more(site: Site) -> None:
    assert site.call("POST", "/web/experiments/exp/share", site.signed_in(ALICE),
                     {"email": BOB}).body["shared_with"] == [{"email": BOB, "role": "work"}]
    bob = site.signed_in(BOB)
    (seen,) = site.call("GET", "/web/experiments", bob).body["experiments"]
    assert (seen["name"], seen["own"], seen["owner"], seen["shared_with"]) == ("exp", False, ALICE, [])
    alice = site.signed_in(ALICE)
    edit = site.call("POST", "/web/experiments/exp/share", alice, {"email": BOB, "role": "edit"})
    assert edit.body["shared_with"] == [{"email": BOB, "role": "edit"}]
    refused = site.call("POST", "/web/experiments/exp/share", alice, {"email": BOB, "role": "owner"})
    assert refused.status == 400 and "role must be work or edit" in refused.body["error"]
    for action, body in (("share", {"email": ADMIN}), ("unshare", {"email": BOB}), ("pin", {}),
                         ("delete", {"confirm": "exp"})):
        assert site.call("POST", "/web/experiments/exp/" + action, bob, body).status == 403


@pytest.mark.parametrize("method, target, body", OF_ADMIN)
def test_users_are_for_administrators(site: Site, method: str, target: str,
                                      body: Optional[Dict[str, str]]) -> None:
    assert site.call(method, target, site.signed_in(ALICE), body).status == 403
    assert site.call(method, target, site.signed_in(ADMIN), body).status in (200, 201)


def test_lists_hold_ones_own_and_no_secret(site: Site) -> None:
    bob, alice = site.signed_in(BOB), site.signed_in(ALICE)
    assert site.call("GET", "/web/experiments", bob).body["experiments"] == []
    assert [key["id"] for key in site.call("GET", "/web/api-keys", alice).body["keys"]] == [1]
    made = site.call("POST", "/web/api-keys", alice, {"name": "new"}).body
    listed = site.call("GET", "/web/api-keys", alice).body
    assert mentions(str(listed), [made["key"], site.key]) == [] and len(listed["keys"]) == 2
    assert site.bench.call("GET", EXPERIMENTS + "/exp", made["key"]).status == 200
    site.call("POST", "/web/api-keys/%d/revoke" % made["id"], alice, {})
    assert site.bench.call("GET", EXPERIMENTS + "/exp", made["key"]).status == 401


def test_names_are_checked_and_deletion_wants_the_name(site: Site) -> None:
    alice = site.signed_in(ALICE)

    def free(name: str, cookie: str = alice) -> bool:
        return bool(site.call("POST", "/web/experiments/check", cookie, {"name": name}).body["free"])
    assert [free("new-one"), free("exp"), free("No Good")] == [True, False, False]
    wrong = site.call("POST", "/web/experiments/exp/delete", alice, {"confirm": "ex"})
    assert wrong.status == 400 and "nothing was deleted" in wrong.body["error"]
    assert site.call("POST", "/web/experiments/exp/delete", alice, {"confirm": "exp"}).status == 200
    assert [free("exp"), free("exp", site.signed_in(BOB))] == [True, False]


@pytest.mark.parametrize("age, state", [(0, "online"), (299, "online"), (300, "silent")])
def test_state_of_the_job_server(site: Site, age: int, state: str) -> None:
    site.bench.now += age
    (seen,) = site.call("GET", "/web/experiments", site.signed_in(ALICE)).body["experiments"]
    assert seen["server"] == state


def test_nobody_suspends_themselves(site: Site) -> None:
    answer = site.call("POST", "/web/users/suspend", site.signed_in(ADMIN), {"email": ADMIN.upper()})
    assert answer.status == 400


# ---- pages

def test_pages_lead_to_the_sign_in_and_back(site: Site) -> None:
    def leads(path: str, cookie: Optional[str] = None) -> Tuple[int, Optional[str]]:
        answer = site.page(path, cookie)
        return answer.status, answer.headers.get("Location")
    assert leads("/") == (303, "./signin")
    assert leads("/api-keys") == (303, "./signin?next=%2Fapi-keys")
    alice = site.signed_in(ALICE)
    assert leads("/", alice) == leads("/signin", alice) == leads("/users", alice) == (303, "./experiments")
    assert leads("/users", site.signed_in(ADMIN)) == (200, None)
    assert b"/users" not in site.page("/experiments", alice).body


@pytest.mark.parametrize("path", ["/signin", "/signup"] + [page.path for page in pages.PAGES]
                         + ["/static/" + name for name in (
                             "base.css", "common.js", "icon.svg", "style.css", "signin.js", "keys.js")])
def test_every_page_is_closed_to_scripts_of_others(site: Site, path: str) -> None:
    answer = site.page(path, None if path.startswith("/sign") else site.signed_in(ADMIN))
    assert answer.status == 200 and answer.body
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy == {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'",
                      "img-src": "'self' data:", "connect-src": "'self'", "form-action": "'self'",
                      "frame-ancestors": "'none'", "base-uri": "'none'"}
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    text = answer.body.decode("utf-8")
    assert mentions(text, ["{{", "innerHTML", "insertAdjacentHTML", "style=\"", "<style", "onclick=\"",
                           "https://"]) == []


@pytest.mark.parametrize("name", ["nope.js", "frame.html", "..%2fpages.py", "%2e%2e%2fapp.py"])
def test_other_files_are_not_served(site: Site, name: str) -> None:
    assert site.page("/static/" + name).status == 404
