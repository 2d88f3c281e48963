"""Which installed distributions a Python script imports, and in which versions.

The interpreter that runs the script has to look, and that need not be this one: then it runs this file as a
program, with the names to look for as arguments. So this imports nothing but the standard library.
"""

import ast
import json
import os
import re
import sys
from typing import Any, Dict, List, Sequence, Set

MOST = 60  # distributions that are told
_OWN = ("jd", "__future__", "__main__")


def imported(source: bytes, directory: str) -> List[str]:
    """The top-level modules that a script imports anywhere in its source, without those of the standard
    library and those that lie beside it, in `directory`. Empty for what this Python cannot read."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: Set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
    return sorted(name for name in found if name not in _OWN and not _is_standard(name)
                  and not os.path.exists(os.path.join(directory, name + ".py"))
                  and not os.path.exists(os.path.join(directory, name, "__init__.py")))


def _is_standard(name: str) -> bool:
    known = getattr(sys, "stdlib_module_names", None)  # since Python 3.10
    if known is not None:
        return name in known
    library = os.path.dirname(os.__file__)
    return (name in sys.builtin_module_names or os.path.isdir(os.path.join(library, name))
            or os.path.exists(os.path.join(library, name + ".py")))


def versions(modules: Sequence[str]) -> Dict[str, str]:
    """The versions of the distributions that these modules come from, by name, as far as they are found."""
    from importlib import metadata
    found: Dict[str, str] = {}
    missing = set()
    for module in modules:
        try:
            found[module] = metadata.version(module)
        except Exception:  # PackageNotFoundError, or one whose files are damaged
            missing.add(module)
    # Some are called otherwise than what they bring: PIL is of pillow. Where there are two of a name, Python
    # imports the first.
    for distribution in metadata.distributions() if missing else ():
        try:
            if missing & _modules_of(distribution):
                found.setdefault(str(distribution.metadata["Name"]), str(distribution.version))
        except Exception:
            continue  # damaged: it says nothing
    return {name: found[name] for name in sorted(found)[:MOST]}


def _modules_of(distribution: Any) -> Set[str]:
    """The top-level names that a distribution brings, modules among them."""
    said = distribution.read_text("top_level.txt")
    if said:
        return set(said.split())
    names = set()
    for line in (distribution.read_text("RECORD") or "").splitlines():
        first = line.split(",")[0].strip('"').split("/")[0]
        names.add(re.sub(r"\.(py|so|pyd)$|\.(cpython|abi3|pypy)[^/]*\.(so|pyd)$", "", first))
    return names


if __name__ == "__main__":
    print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3],
                      "distributions": versions(sys.argv[1:])}))
