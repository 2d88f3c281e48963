"""TLS for servers: a certificate and its key, in PEM files, become the context that a listener needs."""

import ssl
from pathlib import Path
from typing import Optional

from jd.errors import StorageError, UsageError


def server_context(certificate: Optional[Path], key: Optional[Path]) -> Optional[ssl.SSLContext]:
    """What a server with these files listens with; None where neither is given: no TLS.

    `certificate` holds the server's own first, then those between it and the authority. TLS 1.2 is
    the least. Raises UsageError for one without the other and for files that do not fit, and
    StorageError for a file that cannot be read.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("--tls-cert and --tls-key belong together: %s is missing" % (
            "--tls-cert FILE" if certificate is None else "--tls-key FILE"))
    _check("--tls-cert", certificate, b"-----BEGIN CERTIFICATE-----", "certificate")
    _check("--tls-key", key, b"PRIVATE KEY-----", "private key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])

    def refuse_to_ask() -> str:
        # OpenSSL would ask on the terminal, and a service has none.
        raise UsageError("--tls-key %s is locked with a password" % key,
                         "give a file without one, readable only by you: openssl pkey -in FILE -out NEW")
    try:
        context.load_cert_chain(str(certificate), str(key), refuse_to_ask)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError("--tls-key %s is not the key of the certificate in --tls-cert %s"
                             % (key, certificate),
                             "give the two that were made together") from None
        raise UsageError("--tls-cert %s and --tls-key %s cannot be used: %s"
                         % (certificate, key, (error.reason or "damaged").replace("_", " ").lower()),
                         "give PEM files") from None
    return context


def _check(option: str, path: Path, mark: bytes, what: str) -> None:
    """OpenSSL's own words name neither the file nor what is wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError("%s %s cannot be read: %s" % (
            option, path, error.strerror or error)) from None
    if mark not in content:
        raise UsageError("%s %s holds no %s in PEM form" % (option, path, what))
