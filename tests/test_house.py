"""The rules of the house: which room may import which, and what no room may do."""

import ast
import fnmatch
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, List, Set

import pytest

from jd.dist.metadata import parse_toml
from tests.support import ROOT, free_env, python

FILES = sorted((ROOT / "jd").rglob("*.py"))

# Rooms by floor; a room imports rooms of its own floor and below. Modules directly in jd/ are the
# ground. What the building has a rule of its own for stands in FORBIDDEN.
TOP = {"cli", "worker", "server", "hub"}
MIDDLE = {"script", "sweep", "auth", "net", "storage", "web", "node"}
GROUND = "ground"
FORBIDDEN: Dict[str, Set[str]] = {
    "worker": {"server", "hub"},
    "server": {"worker"},
    "hub": {"worker"},
    "dist": TOP | MIDDLE,
    **{room: TOP | {"dist"} for room in MIDDLE},
    GROUND: TOP | MIDDLE | {"dist"},
}


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    """The room of a dotted name below jd."""
    parts = module.split(".")
    if len(parts) > 1 and parts[1] == "__main__":
        return "cli"
    return parts[1] if len(parts) > 1 and (ROOT / "jd" / parts[1]).is_dir() else GROUND


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))


def imports(tree: ast.AST, module: str, is_package: bool = False) -> Iterator[str]:
    """Every module that `module` imports, anywhere in it; names taken from a package count as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                up = parts[:len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join(up + ([base] if base else []))
            for alias in node.names:
                yield "%s.%s" % (base, alias.name)
        elif (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
              and isinstance(node.args[0].value, str)
              and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
                  "import_module", "__import__")):
            yield node.args[0].value


def _imports_of(path: Path) -> Set[str]:
    return set(imports(_tree(path), _module(path), path.name == "__init__.py"))


def _wrong_ways(room: str, imported: Set[str]) -> List[str]:
    forbidden = FORBIDDEN.get(room, set())
    return sorted(name for name in imported
                  if name.split(".")[0] == "jd" and _room(name) in forbidden)


def test_every_room_has_a_floor() -> None:
    rooms = {_room(_module(path)) for path in FILES} - {GROUND}
    assert rooms <= TOP | MIDDLE | {"dist"}, "say in tests/test_house.py what a new room may import"


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_imports_point_down_only(path: Path) -> None:
    assert _wrong_ways(_room(_module(path)), _imports_of(path)) == []


@pytest.mark.parametrize("source, room, wrong", [
    ("from jd.server import app", "worker", ["jd.server.app"]),
    ("def f():\n    import jd.worker.agent", "server", ["jd.worker.agent"]),
    ("from ..worker.agent import Agent", "hub", ["jd.worker.agent.Agent"]),
    ("from jd import cli", "net", ["jd.cli"]),
    ("import importlib\nimportlib.import_module('jd.server.app')", GROUND, ["jd.server.app"]),
    ("from jd.auth import jwt", "dist", ["jd.auth.jwt"]),
    ("from jd import protocol\nimport jd.net.client", "worker", []),
])
def test_an_import_the_wrong_way_is_found(source: str, room: str, wrong: List[str]) -> None:
    assert _wrong_ways(room, set(imports(ast.parse(source), "jd.%s.module" % room))) == wrong


@pytest.mark.skipif(sys.version_info < (3, 10), reason="sys.stdlib_module_names came with 3.10")
def test_nothing_but_the_standard_library_is_imported() -> None:
    allowed = set(getattr(sys, "stdlib_module_names")) | {"jd"}
    foreign = {(_module(path), name) for path in FILES for name in _imports_of(path)
               if name.split(".")[0] not in allowed}
    assert foreign == set()


def calls_at_import(tree: ast.Module) -> List[str]:
    """Bare calls at module level, which an import would run; filling a table of its own is none."""
    own = {target.id for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))
           for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
           if isinstance(target, ast.Name)}
    calls = [node.value.func for node in tree.body
             if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return [ast.dump(call) for call in calls
            if not (isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name)
                    and call.value.id in own)]


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_every_module_is_python_3_8_and_does_nothing_at_import(path: Path) -> None:
    tree = _tree(path)  # raises SyntaxError for newer syntax
    assert path.name == "__main__.py" or calls_at_import(tree) == []
    assert not [name for name in imports(tree, _module(path)) if name.startswith("logging.config")]


@pytest.mark.parametrize("source, calls", [
    ("import logging\nlogging.basicConfig()", 1),
    ("import sys\nsys.path.insert(0, '.')\nprint()", 2),
    ("def main():\n    logging.basicConfig()", 0),
    ("TABLE = {}\nTABLE.update(a=1)", 0),
])
def test_work_at_import_is_found(source: str, calls: int) -> None:
    assert len(calls_at_import(ast.parse(source))) == calls


def test_pytest_looks_into_every_directory_of_tests(request: pytest.FixtureRequest) -> None:
    skipped = request.config.getini("norecursedirs")
    directories = {path.parent.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")}
    assert [str(path) for path in directories
            if any(fnmatch.fnmatch(part, pattern) for part in path.parts for pattern in skipped)] == []


def test_importing_jd_loads_and_writes_next_to_nothing(tmp_path: Path) -> None:
    code = ("import sys; before = set(sys.modules); import jd; new = set(sys.modules) - before\n"
            "print(*sorted(m for m in new if m.startswith('jd')))\n"
            "print(*sorted(new & {'asyncio', 'logging', 'sqlite3', 'ssl', 'urllib', 'subprocess'}))")
    done = subprocess.run(python("-c", code), stdout=subprocess.PIPE, check=True, timeout=60,
                          env=free_env(tmp_path), cwd=str(tmp_path))
    assert done.stdout.decode().splitlines() == ["jd", ""]
    assert [path for path in tmp_path.rglob("*") if path != tmp_path / "home"] == []


def test_there_are_no_dependencies() -> None:
    document = parse_toml((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert document["build-system"]["requires"] == []
    assert [key for key in document["project"] if "dependencies" in key] == []
    assert "dependencies" not in document["project"].get("dynamic", [])


@pytest.mark.parametrize("command", ["jd_worker_cli", "jd_server", "jd_hub"])
def test_every_command_is_there(command: str) -> None:
    document = parse_toml((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    module, function = document["project"]["scripts"][command].split(":")
    tree = _tree(ROOT.joinpath(*module.split(".")).with_suffix(".py"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
