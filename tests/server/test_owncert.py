"""--tls auto: a certificate that is made once, and names this machine."""

import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jd.errors import StorageError, UsageError
from jd.net.serving.tls import server_context
from jd.server.command import accessfile, owncert

NAMES = ["node1", "node1.example.org", "10.1.2.3", "fd00::1", "bad name", "n\n[x]", "x" * 70]


def told(path: Path, *what: str) -> str:
    return subprocess.run(["openssl", "x509", "-in", str(path), "-noout", *what], stdout=subprocess.PIPE,
                          check=True, timeout=60).stdout.decode()


def test_it_names_the_machine_and_its_key_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files = owncert.kept(tmp_path, NAMES)
    finally:
        os.umask(before)
    text = told(files.certificate, "-text")
    for name in ("DNS:localhost", "IP Address:127.0.0.1", "DNS:node1,", "DNS:node1.example.org",
                 "IP Address:10.1.2.3", "DNS:" + "x" * 70, "CA:FALSE", "prime256v1"):
        assert name in text
    assert "bad name" not in text and "[x]" not in text and "CN = node1\n" in text
    told(files.certificate, "-checkend", str(9 * 366 * 86400))
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(str(tmp_path))) == ["tls-cert.pem", "tls-key.pem"]
    assert server_context(files.certificate, files.key) is not None


def test_it_is_kept_until_a_file_is_removed(tmp_path: Path) -> None:
    files = owncert.kept(tmp_path, [])
    first = owncert.text(files.certificate)
    assert owncert.text(owncert.kept(tmp_path, []).certificate) == first
    files.key.unlink()
    again = owncert.kept(tmp_path, [])
    assert owncert.text(again.certificate) != first
    assert server_context(again.certificate, again.key) is not None


def test_as_an_authority_it_holds_for_its_names(tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(owncert.kept(tmp_path, NAMES).certificate))
    assert context.cert_store_stats()["x509"] == 1


def test_without_openssl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no openssl program .* --tls-cert"):
        owncert.kept(tmp_path, [])


@pytest.mark.parametrize("script, says", [
    ("echo first; echo it broke; exit 3", "it broke"), ("exit 3", "exit status 3")])
def test_an_openssl_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str,
                               says: str) -> None:
    program = tmp_path / "openssl"
    program.write_text("#!/bin/sh\n%s\n" % script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:/bin:/usr/bin" % tmp_path)
    with pytest.raises(StorageError, match=says):
        owncert.kept(tmp_path, [])
    assert os.listdir(str(tmp_path)) == ["openssl"]


def test_where_a_server_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accessfile, "names", lambda: ["n1", "n1.example"])
    monkeypatch.setattr(accessfile, "numbers", lambda: ["10.0.0.1"])

    def urls(host: str, public: Any = None, secure: bool = False) -> Any:
        return accessfile.urls_of(host, 5, secure, public)

    assert urls("127.0.0.1") == ["http://127.0.0.1:5"]
    assert urls("localhost", "https://p") == ["http://localhost:5", "https://p"]
    assert urls("0.0.0.0", secure=True) == ["https://127.0.0.1:5", "https://n1:5", "https://n1.example:5",
                                            "https://10.0.0.1:5"]
    assert urls("::", "http://p") == ["http://[::1]:5", "http://p", "http://n1:5", "http://n1.example:5",
                                      "http://10.0.0.1:5"]
    assert urls("10.0.0.1", "http://p") == ["http://p", "http://10.0.0.1:5"]


def test_names_and_numbers_are_not_loopback() -> None:
    assert not any(name.startswith(("127.", "localhost", "::1"))
                   for name in accessfile.names() + accessfile.numbers())
