import io
from pathlib import Path
from typing import Iterator

import pytest

from jd.errors import ServerRefused, ServerUnreachable, UsageError
from jd.net.client import Client
from jd.server.command import owncert
from tests.script.stub_server import UPLOADED, Answer, StubServer

# A key and the certificate it signed itself for localhost and 127.0.0.1, for these tests alone.
CERTIFICATE = Path(__file__).with_name("localhost.pem")
TOKEN = "a-token-nobody-may-see"


@pytest.fixture
def secure() -> Iterator[StubServer]:
    with StubServer(CERTIFICATE) as server:
        yield server


def test_untrusted_certificate_gets_no_token(secure: StubServer) -> None:
    with pytest.raises(ServerUnreachable, match="certificate is not trusted .*set JD_CA_BUNDLE"):
        Client(secure.url, lambda: TOKEN).call("GET", "/job_counts")
    assert secure.asked == []


def test_ca_bundle_makes_a_certificate_trusted(secure: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(CERTIFICATE))
    secure.will_answer(Answer(200, {"PENDING": 1}))
    assert Client(secure.url, lambda: TOKEN).call("GET", "/job_counts") == {"PENDING": 1}
    assert secure.asked[0].headers["Authorization"] == "Bearer " + TOKEN


def test_upload_over_tls(secure: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(CERTIFICATE))
    size = 8 * 1024 * 1024
    assert Client(secure.url).upload("/upload", {}, "file", io.BytesIO(bytes(size)), "x", size) == UPLOADED
    assert secure.asked[0].length > size


def test_refusal_in_the_middle_of_an_upload_over_tls(secure: StubServer,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(CERTIFICATE))
    secure.will_answer(Answer(413, {"error": "too large"}, early=True))
    secure.released.set()  # the server closes the connection at once
    size = 60 * 1024 * 1024
    with pytest.raises(ServerRefused, match="413: too large"):
        Client(secure.url).upload("/upload", {}, "file", io.BytesIO(bytes(size)), "x", size)


# ---- one certificate and no other

def pem() -> str:
    text = CERTIFICATE.read_text()
    return text[text.index("-----BEGIN CERTIFICATE"):]


def test_a_pinned_certificate_counts_under_any_name(secure: StubServer) -> None:
    secure.will_answer(Answer(200, {"PENDING": 1}))
    url = secure.url.replace("localhost", "0.0.0.0").replace("127.0.0.1", "0.0.0.0")
    client = Client(url, lambda: TOKEN, certificate=pem())
    assert client.call("GET", "/job_counts") == {"PENDING": 1}
    assert client.anonymous().call("GET", "/job_counts") is not None


def test_nothing_is_sent_to_another_than_the_pinned(secure: StubServer, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(CERTIFICATE))  # which would vouch for it
    other = owncert.text(owncert.kept(tmp_path, []).certificate)
    with pytest.raises(ServerUnreachable, match="certificate is not the one in the access file"):
        Client(secure.url, lambda: TOKEN, certificate=other).call("GET", "/job_counts")
    assert secure.asked == []


def test_what_is_no_certificate_cannot_be_pinned(secure: StubServer) -> None:
    with pytest.raises(UsageError, match="not in PEM form"):
        Client(secure.url, certificate="x").call("GET", "/job_counts")
