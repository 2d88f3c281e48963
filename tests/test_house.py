"""The rules of the house: which room may import which, and what no room may do."""

import ast
import fnmatch
import functools
import posixpath
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, FrozenSet, Iterable, Iterator, List, Mapping, Sequence, Set

import pytest

from jd.dist.metadata import parse_toml
from tests.support import ROOT, free_env, python

FILES = sorted((ROOT / "jd").rglob("*.py"))

# The floors of each folder, from the ground up. What stands on a floor imports from the floors below it;
# what stands side by side does not know each other. "*" is every file of the folder that has no floor of
# its own; these know each other, as do the files of one room. Every subfolder needs a floor here.
FLOORS: Dict[str, Sequence[str]] = {
    "jd": ("*", "files", "node storage dist", "net", "auth", "script web", "worker hub sweep", "cli server",
           "__main__"),
    "jd.worker": ("*", "local", "uplink", "attempt", "agent", "launch"),
    "jd.worker.attempt": ("output reports", "process", "calling files", "code warm", "*"),
    "jd.cli": ("*", "showing launching", "sweep shell checkup", "commands"),
    "jd.net": ("addresses answerhead jsonbody multipart", "connection", "peer", "*", "serving finding"),
    "jd.hub": ("store", "*", "__main__"),
    "jd.server": ("store", "*", "experiment", "dashboardpin", "creation hubside keeping steady", "driving",
                  "dashboard api", "sweeper", "app", "command", "__main__"),
    "jd.server.store": ("*", "queue", "search", "files", "reports", "fleet", "operators pages", "aftermath",
                        "direct"),
}

# Programs, and the one room that may know each of them. Nothing else does, from whichever floor.
KNOWN_TO = {
    "jd.worker": "jd.cli",
    "jd.hub": "jd.server.hubside",
    "jd.cli": "jd.__main__",
    "jd.server": "jd.__main__",
    "jd.dist": "jd.dist",
}

MAX_LINES = 500  # of a file
MAX_FUNCTION = 60  # lines of a function


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def _floor(module: str, house: str) -> int:
    """The floor of `house` on which a module in it stands. Its `__init__` lies below the ground: any room
    may import it, and it imports none."""
    if module == house:
        return -1
    name = module[len(house) + 1:].split(".")[0]
    floors = [floor.split() for floor in FLOORS[house]]
    return next((height for height, floor in enumerate(floors) if name in floor),
                next(height for height, floor in enumerate(floors) if "*" in floor))


def _room(module: str, house: str) -> str:
    """The subfolder or file of `house` with a floor of its own that a module belongs to, else "*"."""
    if module == house:
        return "__init__"
    name = module[len(house) + 1:].split(".")[0]
    return name if any(name in floor.split() for floor in FLOORS[house]) else "*"


def _is_wrong_way(module: str, imported: str) -> bool:
    """Whether `module` may not import `imported`, the dotted name of a module or of something in one."""
    for house in FLOORS:
        if (_is_in(module, house) and _is_in(imported, house)
                and _room(module, house) != _room(imported, house)
                and _floor(module, house) <= _floor(imported, house)):
            return True
    return any(_is_in(imported, program) and not _is_in(module, program) and not _is_in(module, friend)
               for program, friend in KNOWN_TO.items())


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


@functools.lru_cache(maxsize=None)
def _imports_of(path: Path) -> FrozenSet[str]:
    return frozenset(imports(_tree(path), _module(path), path.name == "__init__.py"))


def _wrong_ways(module: str, imported: Iterable[str]) -> List[str]:
    return sorted(name for name in imported if _is_in(name, "jd") and _is_wrong_way(module, name))


@pytest.mark.parametrize("house", FLOORS)
def test_every_room_has_a_floor_and_every_floor_its_rooms(house: str) -> None:
    place = ROOT.joinpath(*house.split("."))
    named = {name for floor in FLOORS[house] for name in floor.split()}
    rooms = {path.parent.name for path in place.glob("*/__init__.py")}
    files = {path.stem for path in place.glob("*.py")}
    assert rooms <= named, "say in tests/test_house.py on which floor a new room stands"
    assert named <= rooms | files | {"*"}
    assert len(" ".join(FLOORS[house]).split()) == len(named), "a room stands on two floors"


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_imports_point_down_only(path: Path) -> None:
    assert _wrong_ways(_module(path), _imports_of(path)) == []


@pytest.mark.parametrize("source, module, wrong", [
    ("from jd.server import app", "jd.worker.config", ["jd.server.app"]),
    ("def f():\n    import jd.worker.agent", "jd.server.app", ["jd.worker.agent"]),
    ("from ..worker.agent import Agent", "jd.hub.app", ["jd.worker.agent.Agent"]),
    ("from jd import cli", "jd.net.client", ["jd.cli"]),
    ("import importlib\nimportlib.import_module('jd.server.app')", "jd.paths", ["jd.server.app"]),
    ("from jd.auth import jwt", "jd.dist.wheel", ["jd.auth.jwt"]),
    ("from jd.dist import wheel", "jd.cli.main", ["jd.dist.wheel"]),
    ("from jd import protocol\nimport jd.net.client\nimport jd", "jd.worker.config", []),
    ("import jd.cli.main", "jd.worker.launch.process", ["jd.cli.main"]),
    ("import jd.cli.main", "jd.server.app", ["jd.cli.main"]),
    ("import jd.cli.main", "jd.hub.app", ["jd.cli.main"]),
    ("import jd.server.app", "jd.hub.app", ["jd.server.app"]),
    ("import jd.server.app", "jd.cli.main", ["jd.server.app"]),
    ("import jd.hub.app", "jd.cli.main", ["jd.hub.app"]),
    ("import jd.hub.app", "jd.server.app", ["jd.hub.app"]),
    ("import jd.hub.app", "jd.server.hubside.hublink", []),
    ("import jd.cli.__main__\nimport jd.server.__main__", "jd.__main__", []),
    ("from jd.worker.agent.agent import Agent", "jd.worker.attempt.attempt", ["jd.worker.agent.agent.Agent"]),
    ("from jd.worker.uplink import heartbeats", "jd.worker.local.registry", ["jd.worker.uplink.heartbeats"]),
    ("from jd.worker.local import registry", "jd.worker.config", ["jd.worker.local.registry"]),
    ("from jd.worker import config\nfrom jd.worker.uplink import heartbeats", "jd.worker.launch.process", []),
    ("from jd.server.api import access", "jd.server.dashboard.jobs", ["jd.server.api.access"]),
    ("from jd.server.app import JobServer", "jd.server.creation.creator", ["jd.server.app.JobServer"]),
    ("from jd.server.store.pages import summary", "jd.server.store.queue.jobs",
     ["jd.server.store.pages.summary"]),
    ("from jd.net import client", "jd.net.peer.portowner", ["jd.net.client"]),
    ("from jd.hub import routes", "jd.hub.store.schema", ["jd.hub.routes"]),
    ("from jd.cli.commands import run", "jd.cli.checkup.software", ["jd.cli.commands.run"]),
    ("from .config import WorkerConfig", "jd.worker.__init__", ["jd.worker.config.WorkerConfig"]),
])
def test_an_import_the_wrong_way_is_found(source: str, module: str, wrong: List[str]) -> None:
    assert _wrong_ways(module.replace(".__init__", ""), set(imports(ast.parse(source), module))) == wrong


def tangled(graph: Mapping[str, Set[str]]) -> Set[str]:
    """The nodes of a graph that lie in a circle, or between two."""
    left = {node: set(others) - {node} for node, others in graph.items()}
    while True:
        pointed_at = {other for others in left.values() for other in others}
        loose = {node for node, others in left.items() if node not in pointed_at or not others & set(left)}
        if not loose:
            return set(left)
        left = {node: others - loose for node, others in left.items() if node not in loose}


def _file_of(name: str, modules: Iterable[str]) -> str:
    """The module that a dotted name is, or is in; "" where it is in none of `modules`."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def test_no_files_import_each_other_in_a_circle() -> None:
    modules = {_module(path): path for path in FILES}
    graph = {module: {_file_of(name, modules) for name in _imports_of(path)} - {""}
             for module, path in modules.items()}
    assert tangled(graph) == set()


@pytest.mark.parametrize("program", ["server", "hub"])
def test_no_scripts_of_pages_import_each_other_in_a_circle(program: str) -> None:
    places = [ROOT / "jd" / "web", ROOT / "jd" / program / "web"]  # browsers see them as one
    scripts = {path.relative_to(place): path for place in places for path in place.rglob("*.js")}
    graph = {str(name): {posixpath.normpath(str(name.parent / found)) for found in re.findall(
        r'\bfrom "([^"]+)"', path.read_text(encoding="utf-8"))} for name, path in scripts.items()}
    assert {name for names in graph.values() for name in names} <= set(graph)
    assert tangled(graph) == set()


@pytest.mark.parametrize("graph, circle", [
    ({"a": {"b"}, "b": {"c"}, "c": set()}, ""),
    ({"a": {"b"}, "b": {"a"}}, "ab"),
    ({"top": {"a"}, "a": {"b"}, "b": {"c"}, "c": {"a", "ground"}, "ground": set()}, "abc"),
    ({"a": {"a", "json"}}, ""),
])
def test_a_circle_is_found(graph: Dict[str, Set[str]], circle: str) -> None:
    assert tangled(graph) == set(circle)


@pytest.mark.parametrize("room", sorted({path.parent for path in FILES}), ids=lambda room: room.name)
def test_every_room_says_what_lives_in_it(room: Path) -> None:
    told = ast.get_docstring(_tree(room / "__init__.py"))
    assert told is not None, "say in a few lines what lives here, and what may be imported from outside"


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_no_file_and_no_function_is_too_long_to_read(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES, "where is its seam?"
    assert [node.name for node in ast.walk(_tree(path))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION] == []


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


def numbered(tree: ast.Module) -> List[str]:
    """Statements of SQL that bind values by number, as `?1`: from a tuple, Python 3.14 refuses that."""
    texts = [node.value for node in ast.walk(tree)
             if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in texts if re.search(r"\?[0-9]", text) and "\033" not in text]


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_sql_binds_values_in_their_order_or_by_name(path: Path) -> None:
    assert numbered(_tree(path)) == []


def test_values_that_are_bound_by_number_are_found() -> None:
    assert numbered(ast.parse("db.execute('SELECT ?1, ?1', (1,))")) == ["SELECT ?1, ?1"]
    assert numbered(ast.parse("db.execute('SELECT ?, :a')")) == []


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
