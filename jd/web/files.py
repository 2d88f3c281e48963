"""Serves the files that pages are made of (HTML, CSS, JavaScript) out of a package.

They hold no data, so they need no sign-in. What a page shows is asked for by its script.
"""

import gzip
import hashlib
import html
import importlib.util
import re
import zipfile
from pathlib import Path
from typing import Dict, NamedTuple

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

# What pages are made of, among what else lies in a package.
_NAME = re.compile(r"(?:[a-z]+/)*[a-z]+\.(?:%s)\Z" % "|".join(_TYPES))

_VERSION = re.compile(r"v-[0-9a-f]{16}/")
_TITLES = {401: "Nobody is signed in", 403: "This is not allowed", 404: "Nothing is here",
           405: "This is not a page"}
_FOR_EVER = "public, max-age=31536000, immutable"

# Whether a browser takes gzip: named, and not with a weight of zero.
_GZIP = re.compile(r"(?:^|[\s,])gzip\s*(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))(?:[,;]|$)", re.IGNORECASE)


class _File(NamedTuple):
    content: bytes
    tag: str


class Files:
    """The files in `web/` of a package, and those of jd/web, by the name that a URL has for them.

    They are read when it is made: the package may be replaced while the program runs, and a page must not be
    of two versions. Pages name them below a folder that tells their version, `static/v-0123456789abcdef/`, so
    that a browser never asks again for what it has. Scripts import each other relative to where they are.
    """

    def __init__(self, package: str) -> None:
        found = dict(_below("jd.web", ""), **_below(package, "web"))
        self._files = {name: _File(content, 'W/"%s"' % hashlib.sha256(content).hexdigest()[:20])
                       for name, content in found.items()}
        self._small: Dict[str, bytes] = {}  # by gzip, of those that somebody asked for: a third of the size
        tags = "".join("%s %s\n" % (name, file.tag) for name, file in sorted(self._files.items()))
        self._version = "v-%s/" % hashlib.sha256(tags.encode("ascii")).hexdigest()[:16]

    def content(self, name: str) -> bytes:
        """The bytes of a file. Raises KeyError."""
        return self._files[name].content

    def page(self, request: Request, content: bytes) -> Response:
        """An HTML page, in which `{{base}}` stands for where the site begins and `{{static}}` for where these
        files are."""
        content = content.replace(b"{{static}}", b"{{base}}static/" + self._version.encode("ascii"))
        content = content.replace(b"{{base}}", _base(request).encode("ascii"))
        return Response(200, content, _TYPES["html"], dict(HEADERS))

    def refusal(self, request: Request, error: HttpError) -> Response:
        """The page that says what was refused, and leads to where the site begins."""
        title = _TITLES.get(error.status, "This did not work")
        message = "%s%s." % (error.message[:1].upper(), error.message[1:].rstrip("."))
        text = self.content("refused.html").replace(b"{{title}}", title.encode("ascii"))
        made = self.page(request, text)  # before the message, which may hold anything
        made.body = made.body.replace(b"{{message}}", html.escape(message).encode("utf-8"))
        made.status = error.status
        made.headers.update(error.headers)
        return made

    async def static(self, request: Request) -> Response:
        """The handler of `/static/<path:name>`. Below the version's folder a file is kept for ever; without
        one, and below that of another version, whose page is still open, it is asked about every time and
        sent when it has changed."""
        name = request.params["name"]
        given = _VERSION.match(name)
        name = name[given.end():] if given else name
        file = None if name.endswith(".html") else self._files.get(name)
        if file is None:
            raise HttpError(404, "there is no such file")
        keep = _FOR_EVER if given and given.group() == self._version else "no-cache"
        headers = dict(HEADERS, **{"Cache-Control": keep, "ETag": file.tag, "Vary": "Accept-Encoding"})
        if request.headers.get("if-none-match") == file.tag:
            return Response(304, b"", _type(name), headers)
        if _GZIP.search(request.headers.get("accept-encoding", "")):
            if name not in self._small:
                self._small[name] = gzip.compress(file.content, 6, mtime=0)
            headers["Content-Encoding"] = "gzip"
            return Response(200, self._small[name], _type(name), headers)
        return Response(200, file.content, _type(name), headers)


def _below(package: str, folder: str) -> Dict[str, bytes]:
    """The files that pages are made of below a folder of a package, which may be in a zip file."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    place = Path(spec.submodule_search_locations[0], folder)
    archive = getattr(spec.loader, "archive", None)
    if archive is None:
        names = (path.relative_to(place).as_posix() for path in place.rglob("*"))
        return {name: (place / name).read_bytes() for name in names if _NAME.match(name)}
    with zipfile.ZipFile(archive) as packed:
        start = place.relative_to(archive).as_posix() + "/"
        names = (name[len(start):] for name in packed.namelist() if name.startswith(start))
        return {name: packed.read(start + name) for name in names if _NAME.match(name)}


def redirect(request: Request, path: str) -> Response:
    """Lead to another page of this site, by its path from "/" on."""
    return Response(303, b"", _TYPES["html"], dict(HEADERS, Location=_base(request) + path[1:]))


def _base(request: Request) -> str:
    """Where the site begins, seen from what was asked for: "./" or "../" and so on. Relative, since a proxy
    may have taken a path in front of it away."""
    return "../" * (request.path.count("/") - 1) or "./"


def _type(name: str) -> str:
    return _TYPES[name.rpartition(".")[2]]
