"""Serves the files that pages are made of (HTML, CSS, JavaScript) out of a package.

They hold no data, so they need no sign-in. What a page shows is asked for by its script.
"""

import gzip
import hashlib
import pkgutil
import re
from typing import Dict, NamedTuple, Optional

from jd.net.serving.routing import HttpError, Request, Response

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

# What a URL may name: folders and a file in lower case, so that no name leads out of the package.
_NAME = re.compile(r"(?:[a-z]+/)*[a-z]+\.(?:%s)\Z" % "|".join(_TYPES))

# Whether a browser takes gzip: named, and not with a weight of zero.
_GZIP = re.compile(r"(?:^|[\s,])gzip\s*(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))(?:[,;]|$)", re.IGNORECASE)


class _File(NamedTuple):
    content: bytes
    small: bytes  # by gzip: a third, which counts on a slow line
    tag: str


class Files:
    """The files in `web/` of a package, and those of jd/web, by the name that a URL has for them."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._read: Dict[str, _File] = {}

    def content(self, name: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""
        file = self._file(name)
        if file is None:
            raise FileNotFoundError("%s is not among the pages of %s" % (name, self._package))
        return file.content

    async def static(self, request: Request) -> Response:
        """The handler of `/static/<path:name>`: asked about every time, sent when it has changed."""
        name = request.params["name"]
        file = None if name.endswith(".html") else self._file(name)
        if file is None:
            raise HttpError(404, "there is no such file")
        headers = dict(HEADERS, **{"Cache-Control": "no-cache", "ETag": file.tag, "Vary": "Accept-Encoding"})
        if request.headers.get("if-none-match") == file.tag:
            return Response(304, b"", _type(name), headers)
        if _GZIP.search(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            return Response(200, file.small, _type(name), headers)
        return Response(200, file.content, _type(name), headers)

    def _file(self, name: str) -> Optional[_File]:
        if name not in self._read:
            if not _NAME.match(name):
                return None
            content = _content(self._package, "web/" + name)
            if content is None:
                content = _content("jd.web", name)
            if content is None:
                return None
            self._read[name] = _File(content, gzip.compress(content, 6, mtime=0),
                                     'W/"%s"' % hashlib.sha256(content).hexdigest()[:20])
        return self._read[name]


def _content(package: str, path: str) -> Optional[bytes]:
    """A file of a package; through the loader, as the package may be in a zip file."""
    try:
        return pkgutil.get_data(package, path)
    except OSError:
        return None


def page(request: Request, content: bytes) -> Response:
    """An HTML page, in which `{{base}}` stands for where the site begins."""
    content = content.replace(b"{{base}}", _base(request).encode("ascii"))
    return Response(200, content, _TYPES["html"], dict(HEADERS))


def redirect(request: Request, path: str) -> Response:
    """Lead to another page of this site, by its path from "/" on."""
    return Response(303, b"", _TYPES["html"], dict(HEADERS, Location=_base(request) + path[1:]))


def _base(request: Request) -> str:
    """Where the site begins, seen from what was asked for: "./" or "../" and so on. Relative, since a proxy
    may have taken a path in front of it away."""
    return "../" * (request.path.count("/") - 1) or "./"


def _type(name: str) -> str:
    return _TYPES[name.rpartition(".")[2]]
