"""Which modules a page of the dashboard is made of, for its browser to load together.

By itself a browser learns of a module when it has read the one that imports it: half a dozen round trips one
after the other, which is seconds on a slow line.
"""

import posixpath
import re
from typing import Dict, List

from jd.web.files import Files

_SHELL = "app.js"
_IMPORT = re.compile(r'^(?:import|export) [^;"]*from "(\.[^"]+)";', re.MULTILINE)
_ROUTE = re.compile(r'^ *route\("([^"]+)", "\./([^"]+)"', re.MULTILINE)


class PageModules:
    """The modules of pages, by the path that somebody asks for."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._links: Dict[str, bytes] = {}
        self._routes = [(re.compile(re.sub(r":\w+", "[^/]+", pattern)), module)
                        for pattern, module in _ROUTE.findall(self._text(_SHELL))]

    def links(self, path: str) -> bytes:
        """The elements of a page's head that have a browser load all that its first sight needs."""
        module = next((module for pattern, module in self._routes if pattern.fullmatch(path)), _SHELL)
        if module not in self._links:
            self._links[module] = "\n".join(
                '<link rel="modulepreload" href="{{static}}%s">' % name
                for name in self._needed([_SHELL, module])).encode("ascii")
        return self._links[module]

    def _needed(self, first: List[str]) -> List[str]:
        found = list(dict.fromkeys(first))
        for name in found:  # grows meanwhile
            for other in _IMPORT.findall(self._text(name)):
                other = posixpath.normpath(posixpath.join(posixpath.dirname(name), other))
                if other not in found:
                    found.append(other)
        return found

    def _text(self, name: str) -> str:
        return self._files.content(name).decode("utf-8")
