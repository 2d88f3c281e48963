"""--tls-cert and --tls-key become a listener's context, or a text that says what is wrong."""

import ssl
from pathlib import Path
from typing import Optional, Type, Union

import pytest

from jd.errors import JdError, StorageError, UsageError
from jd.net.addresses import is_loopback, reachable_name, url_of
from jd.net.serving.routing import Request, Response, Router
from jd.net.serving.tls import server_context
from tests.net.http_wire import run, serving
from tests.support import ROOT

BOTH = ROOT / "tests" / "net_client" / "localhost.pem"  # a certificate and its key, for localhost

# Made for this test; neither belongs to a certificate.
OTHER_KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgTAscsEIs6gbSGf+2
ROKYoQJSb//wPkgdSRvQz4iGYQuhRANCAAT+AGhAdca2SzrffGedNec4CXT82cTl
TqiRzbB+LnRzvdjPESJzEvm2jgoCw+VYs93oBQbdAQ1R2+waxFgUHSTI
-----END PRIVATE KEY-----
"""
LOCKED_KEY = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhh3La3W4LmGQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDKY5NTOKebZzqm0v7+xDtIEgZDP
sswa4y0vsAOfWiapGrgnpJquGqvCGN/B1nsa7MFXUGs7bHYKPI9V06rfevrIMGjc
mF2FvEWzxnB78idninkO2ekHOzFBFf9M4KlGaV3pq73lsdP8wPAnki7HbsRz2NrT
VzVn77ghsIDulRlNJV84jGP+p7BqlTOQFhgSdJ0NJNprqj+hFtxu0lFNp+eJI0s=
-----END ENCRYPTED PRIVATE KEY-----
"""


def test_without_files_there_is_no_tls() -> None:
    assert server_context(None, None) is None


def test_https_with_a_certificate_and_nothing_older_than_tls_1_2() -> None:
    async def hello(_request: Request) -> Response:
        return Response.text("hello")

    async def scenario() -> int:
        router = Router()
        router.add("GET", "/", hello)
        trust = ssl.create_default_context(cafile=str(BOTH))
        trust.check_hostname = False
        context = server_context(BOTH, BOTH)
        assert context is not None and context.minimum_version == ssl.TLSVersion.TLSv1_2
        async with serving(router, ssl_context=context) as site:
            client = await site.client(ssl=trust)
            return (await client.ask("GET", "/")).status
    assert run(scenario()) == 200


@pytest.mark.parametrize("certificate, key, kind, says", [
    (BOTH, None, UsageError, "--tls-key FILE is missing"),
    (None, BOTH, UsageError, "--tls-cert FILE is missing"),
    (BOTH, "none.pem", StorageError, "none.pem cannot be read: No such file"),
    ("none.pem", BOTH, StorageError, "none.pem cannot be read: No such file"),
    ("", BOTH, StorageError, "Is a directory"),
    (BOTH, "other.pem", UsageError, "is not the key of the certificate"),
    (BOTH, "locked.pem", UsageError, "locked with a password"),
    ("other.pem", BOTH, UsageError, "--tls-cert .* holds no certificate"),
    (BOTH, "text.pem", UsageError, "--tls-key .* holds no private key"),
    ("broken.pem", BOTH, UsageError, "cannot be used"),
])
def test_files_that_do_not_fit_are_named(tmp_path: Path, certificate: Union[str, Path, None],
                                         key: Union[str, Path, None], kind: Type[JdError], says: str) -> None:
    (tmp_path / "other.pem").write_text(OTHER_KEY)
    (tmp_path / "locked.pem").write_text(LOCKED_KEY)
    (tmp_path / "text.pem").write_text("nothing\n")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n")

    def path(name: Union[str, Path, None]) -> Optional[Path]:
        return tmp_path / name if isinstance(name, str) else name
    with pytest.raises(kind, match=says) as caught:
        server_context(path(certificate), path(key))
    assert "PRIVATE" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("host, loopback", [
    ("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False),
    ("::", False), ("", False), ("evil.localhost", False), ("10.0.0.1", False), ("node1", False)])
def test_loopback_is_nothing_but_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_urls_of_what_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node1")
    assert [reachable_name(host) for host in ("0.0.0.0", "::", "::1", "10.0.0.1")] == [
        "node1", "node1", "[::1]", "10.0.0.1"]
    assert url_of("0.0.0.0", 5000, True) == "https://node1:5000"
    assert url_of("127.0.0.1", 1, False) == "http://127.0.0.1:1"
