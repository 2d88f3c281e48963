"""TLS on the calling side. Only what calls https imports this: `ssl` takes longer than a plain call.

Certificates are checked against the one that is pinned, else against JD_CA_BUNDLE (a PEM file) if it is set,
else against the system's.
"""

import os
import socket
import ssl
from typing import Any, Optional, Tuple

from jd.errors import UsageError

CA_VARIABLE = "JD_CA_BUNDLE"


class OtherCertificate(ssl.SSLError):
    """The server has shown another certificate than the one that is pinned."""


class _Pinned(ssl.SSLContext):
    """Trusts one certificate, whatever it says of names and dates. Whoever shows it has its key:
    that is what the handshake proves."""

    der: bytes

    def wrap_socket(self, *arguments: Any, **more: Any) -> ssl.SSLSocket:
        """As SSLContext's. Raises OtherCertificate before a byte of ours is sent."""
        wrapped = super().wrap_socket(*arguments, **more)
        if wrapped.getpeercert(True) != self.der:
            wrapped.close()
            raise OtherCertificate("another certificate")
        return wrapped


def pinned_context(certificate: str) -> ssl.SSLContext:
    """For the one server whose certificate, in PEM form, is this one. Raises UsageError."""
    context = _Pinned(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.der = ssl.PEM_cert_to_DER_cert(certificate)
    except ValueError:
        raise UsageError("the certificate of the server's access file is not in PEM form") from None
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def tls_context(certificate: Optional[str] = None) -> ssl.SSLContext:
    """Certificates are checked, against `certificate` if it is given (PEM, and then nothing else
    counts), else against JD_CA_BUNDLE or the system's. Raises UsageError."""
    if certificate is not None:
        return pinned_context(certificate)
    bundle = os.path.expanduser(os.environ.get(CA_VARIABLE, "").strip())
    try:
        context = ssl.create_default_context(cafile=bundle or None)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError("%s: %s cannot be used: %s"
                         % (CA_VARIABLE, bundle, error.strerror or "it holds no certificate"),
                         "give a file of certificates in PEM form") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def takes_handshake(plain: socket.socket, host: str) -> bool:
    """Whether what is at the other end of a connection speaks TLS. Nothing else is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with context.wrap_socket(plain, server_hostname=host):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it refuses this handshake, in TLS
    except (OSError, ValueError):
        return False


def plain_words(error: BaseException) -> Optional[Tuple[str, str]]:
    """What happened to a connection, as `jd.net.outbound.plain_words` tells it; None where it is not about
    TLS."""
    if isinstance(error, OtherCertificate):
        return ("its TLS certificate is not the one in the access file",
                "it is another server, or somebody in between; nothing was sent to it")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ("its TLS certificate is not trusted (%s)" % error.verify_message,
                "set %s to the PEM file of the authority that signed it" % CA_VARIABLE)
    if isinstance(error, ssl.SSLError):
        return ("the TLS handshake failed (%s)" % (error.reason or "unknown reason"),
                "check that the port speaks https")
    return None
