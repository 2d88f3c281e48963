"""The dashboard's pages: files of the package that hold no data.

Every page is the same shell, web/index.html, whose scripts show what the path names.
"""

import html
from urllib.parse import quote, urlencode

from jd.net.serving.routing import Request, Response, Router
from jd.server.dashboard.modules import PageModules
from jd.server.dashboard.signin import SignIn
from jd.web.files import Files, redirect

SIGNIN = "/signin"
HOME = "/jobs"
PAGES = (HOME, "/jobs/<int:id>", "/results", "/curves", "/failures", "/history", "/compare", "/workers",
         "/settings")


class Pages:
    """Pages and what they are made of."""

    def __init__(self, signin: SignIn) -> None:
        self._signin = signin
        self._files = Files("jd.server")
        self._modules = PageModules(self._files)

    def add_to(self, router: Router) -> None:
        """Put the routes into a router. A page looks for the sign-in by itself, to lead to the sign-in
        instead of refusing."""
        router.add("GET", "/", self._home, public=True)
        router.add("GET", SIGNIN, self._sign_in, public=True)
        for pattern in PAGES:
            router.add("GET", pattern, self._page, public=True)
        router.add("GET", "/static/<path:name>", self._files.static, public=True)
        router.show_errors(self._files.refusal)

    async def _home(self, request: Request) -> Response:
        return redirect(request, HOME if await self._signin.find(request) else SIGNIN)

    async def _sign_in(self, request: Request) -> Response:
        if await self._signin.find(request):
            return redirect(request, HOME)
        name = html.escape(self._signin.experiment_name).encode("utf-8")
        return self._files.page(request, self._files.content("signin.html").replace(b"{{experiment}}", name))

    async def _page(self, request: Request) -> Response:
        if await self._signin.find(request) is None:
            return redirect(request, "%s?next=%s" % (SIGNIN, quote(_target(request), safe="")))
        shell, links = self._files.content("index.html"), self._modules.links(request.path)
        return self._files.page(request, shell.replace(b"<!-- modules -->", links))


def _target(request: Request) -> str:
    """Path and query, as they were asked for."""
    query = urlencode(request.query)
    return quote(request.path) + ("?" + query if query else "")
