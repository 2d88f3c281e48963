"""The Hub's pages in Chromium, against `jd_hub serve`."""

from pathlib import Path
from typing import Iterator

import pytest

from jd.hub.data import HubData
from jd.hub.store import accounts, experiments
from tests.browser.pathproxy import PathProxy
from tests.browser.webdriver import ENTER, ESCAPE, TAB, Browser, needs_browser
from tests.hub.hub_support import EXPERIMENTS, HubProcess

pytestmark = [pytest.mark.slow, needs_browser]

ANN, PASSWORD = "ann@example.org", "correct horse"
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


class HubWithLink(HubProcess):
    """A Hub before its first user; `link` is where that one signs up."""

    link: str


@pytest.fixture
def hub(tmp_path: Path, browser: Browser) -> Iterator[HubWithLink]:
    """A new Hub; its pages must have said nothing on the console and asked nobody else."""
    browser.go("about:blank")  # where a test that failed has left a page of its own server
    browser.devtools("Network.clearBrowserCookies")
    browser.size(1280, 720)
    with HubWithLink(tmp_path) as started:
        started.link = Path(started.event()["signup_file"]).read_text().strip()
        browser.console()
        browser.requested()
        yield started
        assert browser.console() == []
        asked = browser.requested()
        assert asked and [url for url in asked if not url.startswith(started.url + "/")] == []
        assert started.errors == ""


def sign_up(browser: Browser, hub: HubWithLink) -> None:
    browser.go(hub.link)
    browser.type("#email", ANN)
    browser.type("#password", PASSWORD)
    browser.type("#again", PASSWORD)
    browser.click("button", "Set password and sign in")
    browser.wait_path("/experiments")
    browser.wait_text("No experiments yet")


def test_sign_up_key_and_experiment(browser: Browser, hub: HubWithLink) -> None:
    sign_up(browser, hub)
    (cookie,) = browser.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    browser.click("#new")
    browser.type("dialog input", "No Good")
    browser.wait("document.querySelector('.say.bad') !== null")
    browser.type("dialog input", "digits-tune")
    browser.wait_text("digits-tune is free")
    browser.click("dialog button", "Create")
    browser.wait("document.querySelector('td')?.textContent === 'digits-tune'")
    browser.click("#new")
    browser.type("dialog input", "digits-tune")
    browser.wait_text("the name digits-tune is taken")
    browser.click("dialog button", "Create")
    browser.wait("document.querySelector('dialog .problem').textContent.includes('is taken')")
    assert browser.run("return document.querySelectorAll('dialog .say.bad').length") == 0
    browser.keys(ESCAPE)
    browser.click("nav a", "API keys")
    browser.click("button", "Create your first key")
    browser.type("dialog input", "laptop")
    browser.click("dialog button", "Create key")
    key = browser.wait("document.getElementById('key')?.textContent")
    lines = browser.run("return document.getElementById('lines').textContent").splitlines()
    assert lines == ["export JD_HUB_URL=" + hub.url, "export JD_API_KEY=" + key]
    assert hub.call("GET", EXPERIMENTS + "/digits-tune", key)[0] == 200
    browser.devtools("Browser.grantPermissions", permissions=["clipboardReadWrite",
                                                              "clipboardSanitizedWrite"])
    browser.click("dialog .secret button", "Copy")
    browser.wait_text("Copied")
    browser.click("dialog button", "Done")
    browser.wait("!document.documentElement.outerHTML.includes(arguments[0])", key)
    browser.click("button", "Revoke")
    browser.click("dialog button", "Revoke key")
    browser.wait_text("revoked just now")
    assert hub.call("GET", EXPERIMENTS + "/digits-tune", key)[0] == 401
    browser.click("nav a", "Experiments")
    browser.click("button", "Delete")
    assert browser.run("return document.querySelector('dialog .primary').disabled")
    browser.type("dialog input", "digits-tune")
    browser.click("dialog button", "Delete experiment")
    browser.wait_text("No experiments yet")
    assert browser.run("return document.querySelector('#list table')") is None


def test_an_added_user_signs_up_and_is_suspended(browser: Browser, hub: HubWithLink) -> None:
    sign_up(browser, hub)
    browser.click("nav a", "Users")
    browser.click("#new")
    browser.type("dialog input", "bob@example.org")
    browser.click("dialog button", "Add user")
    link = browser.wait("document.getElementById('link')?.textContent")
    browser.click("dialog button", "Done")
    browser.click("button", "Suspend")
    browser.click("dialog button", "Suspend")
    browser.wait_text("suspended")
    browser.click("button", "Resume")
    browser.wait("![...document.querySelectorAll('button')].some((one) => one.textContent === 'Resume')")
    browser.click("#signout")
    browser.wait_path("/signin")
    browser.go(link)
    browser.wait("document.getElementById('email').value === 'bob@example.org'")
    assert browser.path == "/signup"  # the secret has left the address bar
    browser.type("#password", "short")
    browser.click("button", "Set password and sign in")
    browser.wait_text("at least 10 characters")
    assert browser.path == "/signup" and browser.cookies() == []


def test_sign_in_with_the_keyboard_alone(browser: Browser, hub: HubWithLink) -> None:
    sign_up(browser, hub)
    browser.click("#signout")
    browser.wait_path("/signin")
    browser.go(hub.url + "/api-keys")
    browser.wait("document.activeElement.id === 'email'")
    browser.keys(ANN + TAB + "wrong horse" + ENTER)
    browser.wait_text("is wrong")
    browser.wait("document.activeElement.id === 'password'")
    browser.keys(PASSWORD + ENTER)
    browser.wait_path("/api-keys")
    browser.wait_text("No API keys yet")
    for _ in range(12):
        browser.keys(TAB)
        if browser.run("return document.activeElement.id") == "new":
            break
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.keys(ENTER)
    browser.wait("document.activeElement.matches('dialog input')")
    browser.keys("laptop" + ENTER)
    browser.wait("document.getElementById('key') !== null")
    assert browser.run("return document.querySelector('dialog h2').textContent") == "Key laptop is created"


def test_who_is_signed_out_keeps_what_is_typed(browser: Browser, hub: HubWithLink) -> None:
    sign_up(browser, hub)
    browser.click("#new")
    browser.run("return fetch('/web/signout', {method: 'POST', body: '{}',"
                " headers: {'Content-Type': 'application/json'}})")
    browser.type("dialog input", "digits-tune")
    browser.wait_text("You are signed out. What you have typed is still here.")
    browser.wait("document.activeElement.type === 'password'")
    browser.keys("wrong horse" + ENTER)
    browser.wait_text("is wrong")
    browser.keys(PASSWORD + ENTER)
    browser.wait("document.querySelectorAll('dialog').length === 1")
    browser.click("dialog button", "Create")
    browser.wait("document.querySelector('td')?.textContent === 'digits-tune'")


@pytest.mark.parametrize("page", ["/experiments", "/api-keys", "/users"])
def test_a_hub_that_is_away_is_told_of_in_the_place_of_the_list_and_above_it(
        browser: Browser, hub: HubWithLink, page: str) -> None:
    sign_up(browser, hub)
    look = "document.dispatchEvent(new Event('visibilitychange'))"
    try:
        browser.devtools("Network.setBlockedURLs", urls=["*/web/*"])
        browser.go(hub.url + page)
        browser.wait_text("This list could not be loaded")
        browser.wait_text("The Hub does not answer. Check that it runs, then try again.")
        assert browser.run("return document.getElementById('toasts').textContent") == ""
        browser.devtools("Network.setBlockedURLs", urls=[])
        browser.click("button", "Try again")
        browser.wait("document.querySelector('#list tbody tr, #list .empty') !== null"
                     " && !document.body.innerText.includes('could not be loaded')")
        browser.devtools("Network.setBlockedURLs", urls=["*/web/*"])
        browser.run(look)
        browser.wait("document.querySelector('.old:not([hidden])') !== null")
        browser.wait_text("try again. The list is that of ")
        browser.devtools("Network.setBlockedURLs", urls=[])
        browser.run(look)
        browser.wait("document.querySelector('.old').hidden")
    finally:
        browser.devtools("Network.setBlockedURLs", urls=[])
    browser.console()  # which tells of what was blocked


def test_below_a_path_the_cookie_is_for_that_path(browser: Browser, hub: HubWithLink) -> None:
    with PathProxy(hub.url, "/user/ann/hub/", True) as proxy:
        browser.go(proxy.url + "signup?" + hub.link.partition("?")[2])
        browser.wait("!document.getElementById('form').hidden")
        browser.type("#email", ANN)
        browser.type("#password", PASSWORD)
        browser.type("#again", PASSWORD)
        browser.click("button", "Set password and sign in")
        browser.wait_path(proxy.path + "experiments")
        assert [cookie["path"] for cookie in browser.cookies()] == [proxy.path]
        browser.wait_text("No experiments yet")
        browser.click("#signout")
        browser.wait_path(proxy.path + "signin")
        assert browser.cookies() == []
        browser.go("about:blank")
        assert proxy.outside == set()
    browser.requested()
    browser.go(hub.url + "/signin")


def test_names_are_text_and_a_phone_needs_no_sideways_scrolling(browser: Browser, hub: HubWithLink) -> None:
    sign_up(browser, hub)
    data = HubData(hub.data)
    try:
        data.write_now(lambda db, now: accounts.create_key(db, ANN, EVIL[:60], ANN, now))
        data.write_now(lambda db, now: accounts.create_key(db, ANN, EVIL[-60:], ANN, now))
        long = "x" * 64 + "@" + "y" * 60 + ".example"
        data.write_now(lambda db, now: accounts.add_user(db, long, False, ANN, now))
        ann = data.read_now(lambda db: accounts.find_user(db, ANN))
        data.write_now(lambda db, now: experiments.create(db, "n" * 47, ann.id, ANN, now))
        data.write_now(lambda db, now: experiments.register(
            db, "n" * 47, ann.id, "http://n:1", "javascript:alert(1)", now))
    finally:
        data.close()
    browser.size(360, 740)
    for path in ("/experiments", "/api-keys", "/users"):
        browser.go(hub.url + path)
        browser.wait("document.querySelector('#list tbody tr') !== null")
        assert browser.run("return document.documentElement.scrollWidth") <= 360, path
        made = "#list img, #list script, a[href^=java]"
        assert browser.run("return document.querySelectorAll(arguments[0]).length", made) == 0, path
        assert "owned" not in browser.run("return document.title")
        if path == "/api-keys":
            browser.wait_text(EVIL[:60])
        browser.click("#new")
        assert browser.run("return document.documentElement.scrollWidth") <= 360, path


def test_the_pin_of_a_dashboard_is_reset_and_shown_once(browser: Browser, hub: HubWithLink) -> None:
    sign_up(browser, hub)
    data = HubData(hub.data)
    try:
        ann = data.read_now(lambda db: accounts.find_user(db, ANN))
        data.write_now(lambda db, now: experiments.create(db, "digits-tune", ann.id, ANN, now))
    finally:
        data.close()
    browser.go(hub.url + "/experiments")
    browser.click("button", "Reset dashboard PIN")
    browser.click("dialog button", "Reset PIN")
    pin = browser.wait("document.getElementById('new-pin')?.textContent")
    assert len(pin) == 6 and pin.isdigit()
    browser.wait_text("within 30 seconds")
    browser.click("dialog button", "Done")
    browser.wait_text("new PIN waits for it")
    assert not browser.run("return document.documentElement.outerHTML.includes(arguments[0])", pin)


def test_an_experiment_is_shared_for_work_or_for_more(browser: Browser, hub: HubWithLink) -> None:
    sign_up(browser, hub)
    data = HubData(hub.data)
    try:
        ann = data.read_now(lambda db: accounts.find_user(db, ANN))
        made = data.write_now(lambda db, now: experiments.create(db, "digits-tune", ann.id, ANN, now))
        data.write_now(lambda db, now: accounts.add_user(db, "bob@example.org", False, ANN, now))
        for edit, role, said in ((False, "work", "bob@example.org"),
                                 (True, "edit", "bob@example.org – may edit jobs")):
            browser.go(hub.url + "/experiments")
            browser.click("button", "Share")
            browser.type("dialog input", "bob@example.org")
            if edit:
                browser.click("dialog label.check")
            browser.click("dialog button", "Share")
            browser.wait_text("Shared with bob@example.org")
            shares = data.read_now(lambda db: experiments.shared_with(db, made.id))
            assert shares == [("bob@example.org", role)]
            browser.go(hub.url + "/experiments")
            browser.click("button", "Share")
            browser.wait("document.querySelector('dialog .people li')?.firstChild.textContent"
                         " === arguments[0]", said)
    finally:
        data.close()


def test_an_address_that_nothing_is_at_shows_a_page(browser: Browser, hub: HubWithLink) -> None:
    browser.go(hub.url + "/users/nobody")
    browser.wait_text("There is nothing at '/users/nobody'.")
    browser.click("a.button", "Go to the front page")
    browser.wait_path("/signin")
