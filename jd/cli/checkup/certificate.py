"""The TLS certificate of a server: how long it is good for, and what to do about one that is refused."""

import ssl
from typing import Any, List, Mapping, Optional

from jd.cli.checkup.finding import Finding, Notes
from jd.net.clienttls import CA_VARIABLE

DAYS = 14  # fewer are worth a warning

_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_NOT_YET_VALID = 9
_OTHER_HOST = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, ..._IP_ADDRESS_MISMATCH


def expiry(notes: Notes, certificate: Optional[Mapping[str, Any]], version: str,
           now: float) -> List[Finding]:
    """How long a certificate that was accepted is still good for."""
    ends = str((certificate or {}).get("notAfter", ""))
    if not ends:
        return notes.ok("%s, certificate accepted" % version)
    days = (ssl.cert_time_to_seconds(ends) - now) / 86400
    text = "%s, certificate valid until %s" % (version, ends)
    if days < DAYS:
        return notes.warn("%s: %.1f days left" % (text, days), "have it renewed before the sweep")
    return notes.ok(text)


def advice(code: int) -> str:
    """What to do about a certificate that OpenSSL refuses with this code."""
    if code in (_EXPIRED, _NOT_YET_VALID):
        return "have it renewed, or set the clock of this node if it is wrong"
    if code in _OTHER_HOST:
        return "use the name that the certificate is for, or have the right one installed"
    return "set %s to the PEM file of the authority that signed it" % CA_VARIABLE
