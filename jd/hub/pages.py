"""The Hub's web pages: files of the package that hold no data; their scripts ask `webroutes`.

A page is one of web/*.html, which for those who are signed in is put into web/frame.html.
"""

from typing import NamedTuple
from urllib.parse import quote

from jd.hub.signin import SignIn
from jd.hub.store.signins import SignedIn
from jd.net.serving.routing import Request, Response, Router
from jd.web.files import Files, redirect

SIGNIN = "/signin"
HOME = "/experiments"


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

    def __init__(self, signin: SignIn) -> None:
        self._signin = signin
        self._files = Files("jd.hub")

    def add_to(self, router: Router) -> None:
        """Put the rows into the table. A page looks by itself who is signed in, to lead to the sign-in
        instead of refusing."""
        router.add("GET", "/", self._home, public=True)
        router.add("GET", SIGNIN, self._sign_in, public=True)
        router.add("GET", "/signup", self._signup, public=True)
        for shown in PAGES:
            router.add("GET", shown.path, self._page, public=True)
        router.add("GET", "/static/<path:name>", self._files.static, public=True)
        router.show_errors(self._files.refusal)

    async def _home(self, request: Request) -> Response:
        return redirect(request, HOME if await self._signin.find(request) else SIGNIN)

    async def _sign_in(self, request: Request) -> Response:
        if await self._signin.find(request):
            return redirect(request, HOME)
        return self._files.page(request, self._files.content("signin.html"))

    async def _signup(self, request: Request) -> Response:
        return self._files.page(request, self._files.content("signup.html"))

    async def _page(self, request: Request) -> Response:
        wanted = next(one for one in PAGES if one.path == request.path)
        user = await self._signin.find(request)
        if user is None:
            return redirect(request, "%s?next=%s" % (SIGNIN, quote(wanted.path, safe="")))
        if wanted.admin and not user.admin:
            return redirect(request, HOME)
        return self._files.page(request, self._framed(wanted, user))

    def _framed(self, wanted: Page, user: SignedIn) -> bytes:
        links = "\n".join('<a href="{{base}}%s"%s>%s</a>' % (
            one.path[1:], ' aria-current="page"' if one is wanted else "", one.title)
            for one in PAGES if user.admin or not one.admin)
        text = self._files.content("frame.html").decode("utf-8")
        for name, value in (("title", wanted.title), ("links", links), ("script", wanted.file),
                            ("main", self._files.content(wanted.file + ".html").decode("utf-8").strip())):
            text = text.replace("{{%s}}" % name, value)
        return text.encode("utf-8")
