import io
from pathlib import Path
from typing import Iterator

import pytest

from jd.errors import ServerRefused, ServerUnreachable
from jd.net.client import Client
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


def test_refusal_in_the_middle_of_an_upload_over_tls(secure: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(CERTIFICATE))
    secure.will_answer(Answer(413, {"error": "too large"}, early=True))
    secure.released.set()  # the server closes the connection at once
    size = 60 * 1024 * 1024
    with pytest.raises(ServerRefused, match="413: too large"):
        Client(secure.url).upload("/upload", {}, "file", io.BytesIO(bytes(size)), "x", size)
