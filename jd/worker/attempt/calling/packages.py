"""A script inside a package: what it imports of the package that it lies in decides how it is run.

    from .model import Net      run as `python -m package.train`: by its path it could import nothing so
    from package.model import   run by its path; the directory that the package lies in is on the path too
    neither                     run by its path, as ever
"""

import ast
import re
import warnings
from functools import lru_cache
from pathlib import Path
from typing import List, NamedTuple, Tuple

_INIT = "__init__.py"
_MAIN = "__main__"
_RELATIVE = re.compile(rb"^[ \t]*from[ \t]+(\.+)", re.MULTILINE)
# What is in such a condition is for another way of running the file.
_CONDITIONS = ("__package__", "__spec__", "TYPE_CHECKING")


class Run(NamedTuple):
    """`module` is what to give to -m, "" for a script that is run by its path; `root` is the directory from
    which the package can be imported, "" where the script needs none."""

    module: str = ""
    root: str = ""


def run_of(script: Path, source: bytes) -> Run:
    """How a Python script is to be run that has this source."""
    level, imported = _imports(source)
    names = [] if script.stem == _MAIN else [script.stem]
    place = script.parent
    depth = 0
    while (place / _INIT).is_file() or depth < level:
        names.insert(0, place.name)
        place, depth = place.parent, depth + 1
        if place == place.parent:
            return Run()
    if level:
        return Run(".".join(names), str(place))
    if depth and names[0] in imported:
        return Run(root=str(place))
    return Run()


@lru_cache(maxsize=2)  # each job of a worker has the same script
def _imports(source: bytes) -> Tuple[int, List[str]]:
    """How far up the relative imports go that the script cannot do without, 0 where there are none; and the
    packages of which it imports something by their name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Of another version of Python: what stands at the beginning of a line has to do.
        levels = [len(found.group(1)) for found in _RELATIVE.finditer(source)]
        names = re.findall(rb"^[ \t]*(?:import|from)[ \t]+(\w+)", source, re.MULTILINE)
        return max(levels, default=0), [name.decode("utf-8", "replace") for name in names]
    visitor = _Visitor()
    visitor.visit(tree)
    return visitor.level, visitor.names


class _Visitor(ast.NodeVisitor):
    def __init__(self) -> None:
        self.level = 0
        self.names: List[str] = []
        self._guarded = False

    def visit_Import(self, node: ast.Import) -> None:
        self.names += [alias.name.split(".")[0] for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module:
            self.names.append(node.module.split(".")[0])
        elif not self._guarded:
            self.level = max(self.level, node.level)

    def visit_Try(self, node: ast.Try) -> None:
        self._visit_guarded(node, bool(node.handlers))

    def visit_If(self, node: ast.If) -> None:
        named = {part.id if isinstance(part, ast.Name) else part.attr
                 for part in ast.walk(node.test) if isinstance(part, (ast.Name, ast.Attribute))}
        self._visit_guarded(node, not named.isdisjoint(_CONDITIONS))

    def _visit_guarded(self, node: ast.AST, guarded: bool) -> None:
        before, self._guarded = self._guarded, self._guarded or guarded
        self.generic_visit(node)
        self._guarded = before
