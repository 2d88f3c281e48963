"""The way to a server, step by step, against a server that answers as it is told."""

import socket
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest

import jd
from jd.cli.checkup import certificate, hub, server
from jd.cli.checkup.finding import OK, PROBLEM, WARNING, Finding, Notes, worst
from jd.cli.checkup.server import Server, Visit
from jd.errors import UsageError
from tests.cli.test_doctor_checks import expect_only
from tests.net_client.test_tls import CERTIFICATE
from tests.script.stub_server import Answer, StubServer

HEALTHY = {"status": "ok", "expId": "exp", "version": jd.__version__}
TOKEN = "a-token-nobody-may-see"


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as answering:
        yield answering


def visit(url: str, experiment: Optional[str] = None, named: bool = True, **environ: str) -> List[Finding]:
    steps = Visit(lambda: Server(url, named), experiment, environ).checks()
    return [finding for step in steps for finding in step.find()]


def says(findings: List[Finding]) -> List[str]:
    return [finding.what for finding in findings]


def test_a_server_that_is_well(stub: StubServer) -> None:
    stub.will_answer(Answer(200, HEALTHY), Answer(200, {"PENDING": 1}))
    found = visit(stub.url, "exp", JD_SERVER_TOKEN=TOKEN)
    assert worst(found) == OK
    words = says(found)
    assert words[0] == "server " + stub.url
    assert "port %d of 127.0.0.1 takes connections" % stub.port in words[1]
    assert words[2:] == ["this node's clock agrees with the server's",
                         "job server %s, experiment 'exp'" % jd.__version__, "the token is accepted"]
    asked = {request.target: request.headers.get("Authorization") for request in stub.asked}
    assert asked == {"/healthz": None, "/job_counts": "Bearer " + TOKEN}


def test_a_url_with_a_path_and_a_password(stub: StubServer) -> None:
    stub.will_answer(Answer(200, HEALTHY), Answer(200, {}))
    found = visit("http://ann:s3cret@127.0.0.1:%d/jd/" % stub.port)
    assert worst(found) == OK and "s3cret" not in repr(found)
    assert [request.target for request in stub.asked] == ["/jd/healthz", "/jd/job_counts"]
    assert stub.asked[0].headers["Authorization"].startswith("Basic ")


def test_an_address_without_https() -> None:
    with StubServer(CERTIFICATE) as secure:
        found = visit(secure.url.replace("https:", "http:"), "exp")
    wrong = found[-1]
    assert wrong.level == PROBLEM and "speaks https, not http" in wrong.what
    assert wrong.advice.startswith("give https://")


def test_the_server_of_another_experiment(stub: StubServer) -> None:
    stub.will_answer(Answer(200, HEALTHY))
    expect_only(visit(stub.url, "other"), PROBLEM, "serves experiment 'exp', not 'other'", "expId=exp")


def test_another_version(stub: StubServer) -> None:
    stub.will_answer(Answer(200, dict(HEALTHY, version="0.9.1")))
    expect_only(visit(stub.url), WARNING, "version 0.9.1", jd.__version__)


@pytest.mark.parametrize("answer, words", [
    (Answer(404, b"<html>"), "status 404"), (Answer(200, b"<html>login"), "no job server"),
    (Answer(200, {"status": "ok"}), "no job server"), (Answer(200, [1]), "no job server"),
    (Answer(hang_up=True), "no answer to GET /healthz"),
])
def test_something_else_answers(stub: StubServer, answer: Answer, words: str) -> None:
    stub.will_answer(answer)
    expect_only(visit(stub.url), PROBLEM, words)
    # It is not told the token. One without /healthz may be a job server that knows only the base.
    assert [asked.target for asked in stub.asked][1:] in ([], ["/job_counts"])
    assert not any("Authorization" in asked.headers for asked in stub.asked)


def test_a_server_that_knows_only_the_base(stub: StubServer) -> None:
    stub.will_answer(Answer(404, b"<html>"), Answer(200, {"PENDING": 1}), Answer(200, {"PENDING": 1}))
    found = visit(stub.url)
    assert [finding.level for finding in found if finding.level in (PROBLEM, WARNING)] == []
    assert any("only the base protocol" in finding.what for finding in found)


@pytest.mark.parametrize("token, words", [(TOKEN, "is not accepted"), ("", "wants a token, and none is set")])
def test_a_wrong_token(stub: StubServer, token: str, words: str) -> None:
    stub.will_answer(Answer(200, HEALTHY), Answer(401, {"error": "no: " + TOKEN}))
    found = visit(stub.url, JD_SERVER_TOKEN=token)
    expect_only(found, PROBLEM, words, "JD_SERVER_TOKEN_FILE")
    assert TOKEN not in repr(found)


@pytest.mark.parametrize("status", [403, 500])
def test_other_refusals(stub: StubServer, status: int) -> None:
    stub.will_answer(Answer(200, HEALTHY), Answer(status, {"error": "loopback only"}))
    assert [f.what for f in visit(stub.url) if f.level == PROBLEM] == [
        "%s/job_counts answered %d: loopback only" % (stub.url, status)]


def test_a_token_that_cannot_be_read(stub: StubServer, tmp_path: Path) -> None:
    stub.will_answer(Answer(200, HEALTHY))
    expect_only(visit(stub.url, JD_SERVER_TOKEN_FILE=str(tmp_path / "gone")), PROBLEM, "gone does not exist")
    assert len(stub.asked) == 1


def test_a_token_file_that_others_can_read(stub: StubServer, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o644)
    stub.will_answer(Answer(200, HEALTHY), Answer(200, {}))
    expect_only(visit(stub.url, JD_SERVER_TOKEN_FILE=str(token_file)), WARNING, "read by others", "chmod 600")


# ---- not there

def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_nothing_listens() -> None:
    port = closed_port()
    finding = expect_only(visit("http://127.0.0.1:%d" % port), PROBLEM,
                          "127.0.0.1:%d: the connection was refused" % port)
    assert "127.0.0.1 is this very node" in finding.advice


def test_a_server_that_nobody_named_is_a_warning() -> None:
    found = visit("http://127.0.0.1:%d" % closed_port(), named=False)
    assert [f.level for f in found] == [WARNING, WARNING]
    assert "no server is named" in found[0].what


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = visit("http://gpuhost:5000")
    expect_only(found, PROBLEM, "the name of the server, gpuhost, is unknown")
    assert len(found) == 2


def test_a_server_that_cannot_be_told() -> None:
    def fail() -> Server:
        raise UsageError("server=: 'x y' is not allowed", "give a URL")
    steps = Visit(fail, None, {}).checks()
    finding, = [f for step in steps for f in step.find()]
    assert (finding.level, finding.advice) == (PROBLEM, "give a URL")


# ---- through a proxy

def test_a_proxy_is_named_without_its_password(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://ann:pr0xy@127.0.0.1:%d" % stub.port)
    stub.will_answer(Answer(200, HEALTHY), Answer(200, {}))
    found = visit("http://jobs.example:5000")
    assert worst(found) == OK and "pr0xy" not in repr(found)
    assert "through the proxy 127.0.0.1:%d; jobs.example in no_proxy" % stub.port in says(found)[1]
    assert [request.target for request in stub.asked] == [
        "http://jobs.example:5000/healthz", "http://jobs.example:5000/job_counts"]
    assert "Proxy-Authorization" in stub.asked[0].headers


@pytest.mark.parametrize("answer", [Answer(503, b"blocked"), Answer(200, b"<html>Log in</html>")])
def test_a_proxy_that_answers_itself(stub: StubServer, monkeypatch: pytest.MonkeyPatch,
                                     answer: Answer) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:%d" % stub.port)
    stub.will_answer(answer)
    expect_only(visit("http://jobs.example:5000"), PROBLEM, "add jobs.example to no_proxy")


def test_a_proxy_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:%d" % closed_port())
    expect_only(visit("http://jobs.example:5000"), PROBLEM, "no connection to 127.0.0.1", "no_proxy")


def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    expect_only(visit("http://jobs.example:5000"), PROBLEM, "http_proxy must be like", "no_proxy")


# ---- TLS

@pytest.fixture
def secure() -> Iterator[StubServer]:
    with StubServer(CERTIFICATE) as answering:
        yield answering


def test_a_certificate_that_is_trusted(secure: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(CERTIFICATE))
    secure.will_answer(Answer(200, HEALTHY), Answer(200, {}))
    found = visit(secure.url)
    assert worst(found) == OK
    assert "certificate valid until Jan  1 00:00:00 2120 GMT" in says(found)[2]


def test_a_certificate_of_an_unknown_authority(secure: StubServer) -> None:
    expect_only(visit(secure.url), PROBLEM, "is not accepted: self", "set JD_CA_BUNDLE")
    assert secure.asked == []


def test_a_certificate_for_another_name(secure: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(CERTIFICATE))
    expect_only(visit("https://0.0.0.0:%d" % secure.port), PROBLEM, "not accepted",
                "the name that the certificate is for")


def test_a_bundle_that_is_none(secure: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(tmp_path / "gone.pem"))
    expect_only(visit(secure.url), PROBLEM, "JD_CA_BUNDLE", "PEM form")


def test_a_port_that_speaks_no_tls(stub: StubServer) -> None:
    expect_only(visit("https://127.0.0.1:%d" % stub.port), PROBLEM, "no TLS connection", "speaks https")


def test_a_certificate_that_ends_soon() -> None:
    told: Dict[str, Any] = {"notAfter": "Jan 10 00:00:00 2030 GMT"}
    now = 1893456000.0  # 2030-01-01
    soon = certificate.expiry(Notes(server.TOPIC), told, "TLSv1.3", now)
    expect_only(soon, WARNING, "9.0 days left", "renewed")
    expect_only(certificate.expiry(Notes(server.TOPIC), told, "TLSv1.3", now - 10 * 86400), OK, "TLSv1.3")


# ---- clocks, Hub

@pytest.mark.parametrize("ahead, level, words", [
    (0, OK, "agrees"), (4, OK, "agrees"), (60, WARNING, "60 s ahead of"), (-60, WARNING, "60 s behind"),
    (301, PROBLEM, "301 s ahead of"), (-400, PROBLEM, "behind"),
])
def test_clocks(ahead: int, level: str, words: str) -> None:
    expect_only(server.clock_skew(formatdate(1000000, usegmt=True), 1000000.5 + ahead), level, words)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Jan 2020 00:00:00 GMT"])
def test_a_server_that_tells_no_time(date: Optional[str]) -> None:
    assert server.clock_skew(date, time.time()) == []


def test_the_hub(stub: StubServer) -> None:
    expect_only(hub.check({}, {}, False), OK, "not configured")
    expect_only(hub.check({}, {"api_key": "jd_x"}, True), OK, "not used")
    found = hub.check({"JD_HUB_URL": "https://h"}, {}, False)
    expect_only(found, WARNING, "no API key", "https://h/api-keys")
    environ = {"JD_API_KEY": "jd_x", "JD_HUB_URL": stub.url}
    nothing = Answer(404, {"error": "no route"})  # to the two questions who it is
    stub.will_answer(Answer(404, {"error": "no such experiment"}), nothing, nothing,
                     Answer(401, {"error": "who?"}), nothing, nothing, Answer(404, b"<html>nginx"))
    assert hub.check(environ, {}, False)[-1].what == "the Hub knows the API key"
    refused = hub.check(environ, {}, False)[-1]
    assert refused.level == PROBLEM and "does not know this key" in refused.what
    page = hub.check(environ, {}, False)
    assert page[-1].level == PROBLEM and "not how a Hub answers" in page[-1].what
    assert {finding.topic for finding in page} == {"Hub"}
