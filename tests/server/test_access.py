"""Who is let in: the user of a loopback connection, tokens, and what looks like a proxy or a web page."""

import os
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from jd.errors import UsageError
from jd.net.serving.routing import HttpError, Request
from jd.server.api.access import OWNER, Access, Principal, users
from jd.server.command import cli, commandline
from tests.users import OTHER

TOKEN = "the-token-that-it-made-for-itself"
ME = os.geteuid()
LOCAL, LET_IN = Principal(None, OWNER, True), Principal(None, OWNER, False)


def server(host: str = "127.0.0.1", **options: Any) -> Access:
    access = Access(host, options.pop("token_file", None), options.pop("insecure", False), **options)
    access.settle(lambda: TOKEN)
    return access


def ask(access: Access, uid: Optional[int] = ME, peer: str = "127.0.0.1", host: str = "127.0.0.1:5000",
        token: Optional[str] = None, **headers: str) -> Any:
    """The principal, or status and text of the refusal."""
    sent = {"host": host}
    sent.update({name.replace("_", "-"): value for name, value in headers.items()})
    if token is not None:
        sent["authorization"] = "Bearer " + token
    request = Request("GET", "/job_counts", sent, None, peer, False, lambda: uid)
    try:
        access(request)
    except HttpError as error:
        return error.status, error.message
    return request.principal


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
@pytest.mark.parametrize("peer,name", [("127.0.0.1", "127.0.0.1:5000"), ("::1", "[::1]:5000"),
                                       ("127.0.0.1", "localhost:5000"), ("127.8.9.1", "LOCALHOST")])
def test_the_owner_and_root_need_no_token_over_loopback(host: str, peer: str, name: str) -> None:
    for uid in (ME, 0):
        assert ask(server(host), uid, peer, name) == LOCAL
        assert ask(server(host), uid, peer, name, token="stale") == LOCAL


def test_another_user_is_told_whose_it_is_and_what_to_do() -> None:
    status, text = ask(server(), OTHER)
    assert status == 403
    for word in ("(uid %d)" % ME, "uid %d" % OTHER, "a server of your own", "--allow-user %d" % OTHER,
                 "token"):
        assert word in text
    assert ask(server(), OTHER, token=TOKEN) == LET_IN
    assert ask(server(), OTHER, token="wrong")[0] == 401
    assert ask(server(allowed=frozenset([OTHER])), OTHER) == LET_IN
    assert ask(server(allowed=frozenset([OTHER])), OTHER + 1)[0] == 403


@pytest.mark.parametrize("fields,word", [
    (dict(uid=None), "does not tell"),
    (dict(x_forwarded_for="10.0.0.9"), "a proxy"), (dict(forwarded="for=10.0.0.9"), "a proxy"),
    (dict(via="1.1 squid"), "a proxy"), (dict(x_real_ip="10.0.0.9"), "a proxy"),
    (dict(peer="192.168.1.7"), "a token is needed"),
    # Where the address has another user's word, it is not asked for.
    (dict(peer="192.168.1.7", host="192.168.1.2:5000"), "a token is needed"),
], ids=["unknown", "x-forwarded-for", "forwarded", "via", "x-real-ip", "network", "network name"])
def test_who_is_not_known_needs_the_token(fields: Dict[str, Any], word: str) -> None:
    access = server("0.0.0.0")
    status, text = ask(access, **fields)
    assert status == 401 and word in text and "JD_SERVER_TOKEN_FILE" in text
    assert ask(access, token="wrong", **fields)[0] == 401
    assert ask(access, token=TOKEN, **fields) == LET_IN


@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example:5000", "0.0.0.0:5000", ""])
def test_a_web_page_does_not_reach_it_by_a_name_of_its_own(name: str) -> None:
    status, text = ask(server(), host=name)
    assert status == 403 and "127.0.0.1" in text
    assert ask(server("0.0.0.0"), host=name)[0] == 401
    assert ask(server(), host=name, token=TOKEN) == LET_IN


def test_the_experiments_own_file_is_named_once() -> None:
    access = Access("0.0.0.0", None, False)
    access.settle(lambda: TOKEN, "~/.jd/servers/digits.json")
    for token in (None, "wrong"):
        status, text = ask(access, peer="192.168.1.7", token=token)
        assert status == 401 and text.count("access file, ~/.jd/servers/digits.json") == 1
        assert "<expId>" not in text and "ACCESS_FILE" not in text and text.count("JD_SERVER_TOKEN_FILE") < 2


def test_a_token_that_was_given_is_asked_of_everybody(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("given-by-its-owner")
    access = server(token_file=file)
    for uid in (ME, 0, OTHER, None):
        status, text = ask(access, uid)
        assert status == 401 and "--token-file" in text
        assert ask(access, uid, token=TOKEN)[0] == 401
        assert ask(access, uid, token="given-by-its-owner") == LET_IN
    assert ask(server(token_file=file, insecure=True), token=None)[0] == 401


def test_behind_a_proxy_everybody_has_its_user_and_the_token_counts() -> None:
    access = server(proxied=True)
    for uid in (ME, 0, OTHER):
        assert ask(access, uid)[0] == 401
        assert ask(access, uid, token=TOKEN) == LET_IN


def test_insecure_asks_nobody() -> None:
    assert ask(server("0.0.0.0", insecure=True), None, "10.0.0.9", "anything") == LET_IN


def test_insecure_still_knows_its_own_user() -> None:
    access = server("0.0.0.0", insecure=True)
    assert ask(access, ME) == ask(access, 0) == LOCAL
    others: List[Dict[str, Any]] = [
        dict(uid=OTHER), dict(uid=None), dict(host="evil.example"), dict(x_forwarded_for="10.0.0.9"),
        dict(peer="10.0.0.9")]
    for fields in others:
        assert ask(access, **fields) == LET_IN
    assert ask(server(insecure=True, proxied=True)) == LET_IN


def test_the_user_is_not_asked_for_where_it_does_not_matter(tmp_path: Path) -> None:
    def asked() -> None:
        raise AssertionError("it was asked for")
    for access in (server(insecure=True), server("0.0.0.0")):
        headers = {"host": "h", "authorization": "Bearer " + TOKEN}
        access(Request("GET", "/", headers, None, "10.0.0.9", False, asked))


def test_users_are_named_or_numbered() -> None:
    assert users(["root", "0", "54321"]) == {0, OTHER} and users([]) == frozenset()
    says = "--allow-user: this machine knows no user 'no-such-user'; give a name"
    with pytest.raises(UsageError, match=says):
        users(["root", "no-such-user"])


@pytest.mark.parametrize("given,environ", [(["--allow-user", "root", "--allow-user", "no-such-user"], {}),
                                           ([], {"JD_SERVER_ALLOW_USER": "root,no-such-user"})])
def test_a_server_does_not_start_for_an_unknown_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     given: List[str], environ: Dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="no user 'no-such-user'"):
        cli.main(["--expId", "exp", "--workspace_path", str(tmp_path / "server")] + given)
    assert not (tmp_path / "server").exists()


@pytest.mark.parametrize("options", [dict(insecure=True), dict(verify=lambda token: None),
                                     dict(token_file=True), dict(proxied=True)])
def test_users_are_allowed_only_where_they_count(tmp_path: Path, options: Dict[str, Any]) -> None:
    if "token_file" in options:
        options["token_file"] = tmp_path / "token"
        options["token_file"].write_text("given-by-its-owner")
    with pytest.raises(UsageError, match="--allow-user is for a server without"):
        server(allowed=frozenset([OTHER]), **options)


# ---- what was typed

@pytest.mark.parametrize("typed, hint", [
    (["--expid", "x"], "--expid x; did you mean --expId x?"), (["expId=foo"], "did you mean --expId foo?"),
    (["--dashboard_port=7"], "did you mean --dashboard-port 7?"),
    (["insecure=true"], "did you mean --insecure?"), (["--xyzzy"], "--xyzzy; see jd_server --help"),
    (["--expid"], "did you mean --expId ...?")])
def test_an_option_that_was_meant(typed: List[str], hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        commandline.parse(typed, {"HOME": "/nonexistent"})
    assert str(refused.value).startswith("unrecognized arguments: ") and str(refused.value).endswith(hint)


def test_what_excludes_a_hub_is_told_before_the_key_that_is_missing(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JD_API_KEY", raising=False)
    common = ["--expId", "e", "--workspace_path", str(tmp_path), "--hub", "http://127.0.0.1:9"]
    for flags in (["--token-file", str(tmp_path / "token")], ["--insecure"]):
        with pytest.raises(UsageError, match="a Hub and %s exclude each other" % flags[0]):
            cli.main(common + flags)
