"""The files that pages are made of, served out of packages.

They hold no data, so anybody may have them; what a page shows its script asks for.
"""

import hashlib
import pkgutil
from typing import Dict, Mapping, NamedTuple, Optional

from jd.net.routing import HttpError, Request, Response

# No inline script, no other site, no frame around it.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
          "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}

SHARED = {name: "jd.web:" + name for name in ("base.css", "common.js", "icon.svg")}


class _File(NamedTuple):
    content: bytes
    tag: str


class Files:
    """Files by the name that a URL has for them; each is `package:path/in/it`."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(SHARED, **places)
        self._read: Dict[str, _File] = {}

    def content(self, name: str) -> bytes:
        """The bytes of a file. Through the loader, as the package may be in a zip file."""
        return self._file(name).content

    async def static(self, request: Request) -> Response:
        """The handler of `/static/<name>`: asked about every time, sent when it has changed."""
        name = request.params["name"]
        if name not in self._places or name.endswith(".html"):
            raise HttpError(404, "there is no such file")
        file = self._file(name)
        headers = dict(HEADERS, **{"Cache-Control": "no-cache", "ETag": file.tag})
        if request.headers.get("if-none-match") == file.tag:
            return Response(304, b"", _type(name), headers)
        return Response(200, file.content, _type(name), headers)

    def _file(self, name: str) -> _File:
        if name not in self._read:
            package, _, path = self._places[name].partition(":")
            content: Optional[bytes] = pkgutil.get_data(package, path)
            if content is None:
                raise FileNotFoundError("%s is not in the package %s" % (path, package))
            self._read[name] = _File(content, '"%s"' % hashlib.sha256(content).hexdigest()[:20])
        return self._read[name]


def page(content: bytes) -> Response:
    """An HTML page."""
    return Response(200, content, _TYPES["html"], dict(HEADERS))


def redirect(path: str) -> Response:
    """Lead to another page of this site."""
    return Response(303, b"", _TYPES["html"], dict(HEADERS, Location=path))


def _type(name: str) -> str:
    return _TYPES[name.rpartition(".")[2]]
