"""The Hub's web pages: files of the package that hold no data; their scripts ask `webroutes`.

A page is one of web/*.html, which for those who are signed in is put into web/frame.html.
"""

import pkgutil
from typing import Dict, NamedTuple, Optional
from urllib.parse import quote

from jd.hub.sessions import Sessions
from jd.hub.store.sessions import Holder
from jd.net.routing import HttpError, Request, Response, Router

SIGNIN = "/signin"
HOME = "/experiments"

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
STATIC = ("style.css", "common.js", "signin.js", "signup.js", "experiments.js", "keys.js", "users.js",
          "icon.svg")


class Page(NamedTuple):
    """A page for those who are signed in; `file` is web/<file>.html and web/<file>.js."""

    path: str
    title: str
    file: str
    admin: bool


PAGES = (Page(HOME, "Experiments", "experiments", False),
         Page("/api-keys", "API keys", "keys", False),
         Page("/users", "Users", "users", True))


class PageRoutes:
    """Pages and what they are made of."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._files: Dict[str, bytes] = {}

    def add_to(self, router: Router) -> None:
        """Put the rows into the table. A page looks for the session by itself, to lead to the sign-in
        instead of refusing."""
        router.add("GET", "/", self._home, public=True)
        router.add("GET", SIGNIN, self._signin, public=True)
        router.add("GET", "/signup", self._signup, public=True)
        for page in PAGES:
            router.add("GET", page.path, self._page, public=True)
        router.add("GET", "/static/<name>", self._static, public=True)

    async def _home(self, request: Request) -> Response:
        return _redirect(HOME if await self._sessions.find(request) else SIGNIN)

    async def _signin(self, request: Request) -> Response:
        if await self._sessions.find(request):
            return _redirect(HOME)
        return self._answer(self._file("signin.html"), "html")

    async def _signup(self, _request: Request) -> Response:
        return self._answer(self._file("signup.html"), "html")

    async def _page(self, request: Request) -> Response:
        page = next(one for one in PAGES if one.path == request.path)
        holder = await self._sessions.find(request)
        if holder is None:
            return _redirect("%s?next=%s" % (SIGNIN, quote(page.path, safe="")))
        if page.admin and not holder.admin:
            return _redirect(HOME)
        return self._answer(self._framed(page, holder), "html")

    async def _static(self, request: Request) -> Response:
        name = request.params["name"]
        if name not in STATIC:
            raise HttpError(404, "there is no such file")
        return self._answer(self._file(name), name.rpartition(".")[2])

    def _framed(self, page: Page, holder: Holder) -> bytes:
        links = "\n".join('<a href="%s"%s>%s</a>' % (
            one.path, ' aria-current="page"' if one is page else "", one.title)
            for one in PAGES if holder.admin or not one.admin)
        text = self._file("frame.html").decode("utf-8")
        for name, value in (("title", page.title), ("links", links), ("script", page.file),
                            ("main", self._file(page.file + ".html").decode("utf-8").strip())):
            text = text.replace("{{%s}}" % name, value)
        return text.encode("utf-8")

    def _file(self, name: str) -> bytes:
        """Through the loader, as the package may be in a zip file."""
        if name not in self._files:
            content: Optional[bytes] = pkgutil.get_data("jd.hub", "web/" + name)
            if content is None:
                raise FileNotFoundError("jd/hub/web/%s is not in the package" % name)
            self._files[name] = content
        return self._files[name]

    @staticmethod
    def _answer(content: bytes, kind: str) -> Response:
        headers = dict(HEADERS)
        if kind != "html":
            headers["Cache-Control"] = "no-cache"  # a new version must not meet an old script
        return Response(200, content, _TYPES[kind], headers)


def _redirect(path: str) -> Response:
    return Response(303, b"", _TYPES["html"], dict(HEADERS, Location=path))
