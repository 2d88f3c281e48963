"""`--tls auto`: a certificate that the server makes for itself, kept beside its data.

    <workspace>/<expId>/meta/tls-cert.pem   as the data: mode 0600, or 0640 for a group
                            /tls-key.pem    mode 0600

The standard library cannot make one, so the program `openssl` does. Clients that read the server's access
file trust exactly this certificate. It also names the machine, for clients that are given it as an
authority. Both files are replaced together when one of them is missing.
"""

import ipaddress
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import List, NamedTuple, Sequence

from jd.errors import StorageError, UsageError
from jd.files import plainfile
from jd.killpoint import killpoint
from jd.storage import filemodes

CERTIFICATE = "tls-cert.pem"
KEY = "tls-key.pem"
_MAX_BYTES = 64 * 1024
DAYS = 3653  # ten years
_PATIENCE = 60.0  # seconds for openssl, on a busy login node
_MAX_NAME = 64  # X.520, of a common name; longer ones are in the alternative names alone

_CONFIG = """\
[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
[subject]
CN = %s
[extensions]
basicConstraints = critical,CA:FALSE
subjectKeyIdentifier = hash
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = %s
"""


class Files(NamedTuple):
    """Where they are."""

    certificate: Path
    key: Path


def kept(meta: Path, names: Sequence[str]) -> Files:
    """The server's own certificate and key, made if they are not there; `names` are host names and
    addresses of this machine. For who holds the data.

    Raises UsageError where there is no openssl, StorageError where it fails or nothing can be written.
    """
    files = Files(meta / CERTIFICATE, meta / KEY)
    if not (files.certificate.exists() and files.key.exists()):
        _make(files, names)
    return files


def text(path: Path) -> str:
    """A certificate in PEM form. Raises StorageError."""
    try:
        return plainfile.read(path, _MAX_BYTES).decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError("%s cannot be read: %s"
                           % (path, getattr(error, "strerror", None) or "it is no text"),
                           "remove it to have another made") from None


def _make(files: Files, names: Sequence[str]) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise UsageError("--tls auto: there is no openssl program on PATH to make a certificate with",
                         "install it, or give --tls-cert and --tls-key")
    try:
        with tempfile.TemporaryDirectory(prefix=".tls-", dir=str(files.key.parent)) as drafts:
            made = Files(Path(drafts, CERTIFICATE), Path(drafts, KEY))
            config = Path(drafts, "openssl.cnf")
            config.write_text(_CONFIG % (_common_name(names), ",".join(_alternatives(names))),
                              encoding="ascii")
            _run([program, "req", "-x509", "-new", "-newkey", "ec", "-pkeyopt",
                  "ec_paramgen_curve:prime256v1", "-nodes", "-sha256", "-days", str(DAYS), "-config",
                  str(config), "-keyout", str(made.key), "-out", str(made.certificate)])
            os.chmod(str(made.key), 0o600)
            filemodes.apply(made.certificate, filemodes.of(files.certificate.parent))
            # The old certificate goes first and the new one comes last: one that is there has its key.
            if files.certificate.exists():
                files.certificate.unlink()
            killpoint("owncert.key.before-rename")
            os.replace(str(made.key), str(files.key))
            killpoint("owncert.key.after-rename")
            killpoint("owncert.certificate.before-rename")
            os.replace(str(made.certificate), str(files.certificate))
            killpoint("owncert.certificate.after-rename")
    except OSError as error:
        raise StorageError("--tls auto: no certificate could be kept in %s: %s" % (
            files.key.parent, error.strerror)) from error


def _run(command: List[str]) -> None:
    try:
        # In a directory of mode 0700, so that the key is never anybody else's to read.
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise StorageError("--tls auto: openssl did not end within %g s" % _PATIENCE,
                           "give --tls-cert and --tls-key") from None
    if done.returncode != 0:
        told = done.stdout.decode("utf-8", "replace").strip().splitlines()
        raise StorageError("--tls auto: openssl made no certificate: %s"
                           % (told[-1][:200] if told else "exit status %d" % done.returncode),
                           "give --tls-cert and --tls-key")


def _common_name(names: Sequence[str]) -> str:
    return next((name for name in names if _is_name(name) and len(name) <= _MAX_NAME), "localhost")


def _alternatives(names: Sequence[str]) -> List[str]:
    found = []
    for name in dict.fromkeys(["localhost", "127.0.0.1", "::1", *names]):
        try:
            found.append("IP:%s" % ipaddress.ip_address(name))
        except ValueError:
            if _is_name(name):
                found.append("DNS:" + name)
    return found


def _is_name(name: str) -> bool:
    """Whether a host name can stand in the file for openssl as it is."""
    return bool(name) and name.isascii() and all(c.isalnum() or c in "-._" for c in name)
