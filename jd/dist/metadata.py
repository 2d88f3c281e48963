"""What pyproject.toml says about the distribution, and the same as METADATA and entry points.

PEP 621 for the table, core metadata 2.1 for the output. A field that this module would not pass on
is an error: nothing that is written in pyproject.toml is lost silently.
"""

import ast
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

from jd.dist import toml_subset
from jd.errors import JdError, StorageError

MAX_TEXT = 2 * 1024 * 1024  # bytes of pyproject.toml, jd/__init__.py or the readme

_FIELDS = ("name", "dynamic", "description", "readme", "requires-python", "license", "authors",
           "keywords", "classifiers", "urls", "scripts")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?(?:\.post[0-9]+)?(?:\.dev[0-9]+)?\Z")
_ENTRY_POINT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")
_README_TYPES = {".md": "text/markdown", ".txt": "text/plain", ".rst": "text/x-rst"}


class ProjectError(JdError):
    """pyproject.toml, or a file it names, cannot be used to build; the message says where and why."""


class Project(NamedTuple):
    """The `[project]` table, checked."""

    root: Path
    name: str
    version: str
    summary: str
    readme: str
    readme_type: str
    requires_python: str
    license: str
    authors: Tuple[str, ...]
    keywords: Tuple[str, ...]
    classifiers: Tuple[str, ...]
    urls: Tuple[Tuple[str, str], ...]
    scripts: Tuple[Tuple[str, str], ...]  # command, "module:function"

    @property
    def file_name(self) -> str:
        """`name-version` as files are called (PEP 427, PEP 625)."""
        return "%s-%s" % (re.sub(r"[-_.]+", "_", self.name).lower(), self.version)

    @property
    def dist_info(self) -> str:
        """The metadata directory of a wheel and of an installation."""
        return self.file_name + ".dist-info"


def parse_toml(text: str) -> Dict[str, Any]:
    """TOML to a dict: tomllib where Python has it (3.11), else the subset. Raises ValueError."""
    if sys.version_info >= (3, 11):
        import tomllib
        return tomllib.loads(text)
    return toml_subset.loads(text)


def load_project(root: Path) -> Project:
    """The project whose sources are in `root`. Raises ProjectError or StorageError."""
    path = root / "pyproject.toml"
    if not path.is_file():
        raise ProjectError("no pyproject.toml in %s: this is no source tree" % root,
                           "run it from a checkout or an unpacked sdist")
    try:
        document = parse_toml(read_text(path))
    except ValueError as error:
        raise ProjectError("%s: %s" % (path, error)) from None
    table = document.get("project")
    if not isinstance(table, dict):
        raise ProjectError("%s: there is no [project] table" % path)
    return _Fields(path, table).project(root)


def read_text(path: Path) -> str:
    """A UTF-8 text file with its line ends as \\n. Raises StorageError or ProjectError."""
    try:
        with open(str(path), "rb") as file:
            data = file.read(MAX_TEXT + 1)
    except OSError as error:
        raise StorageError("cannot read %s: %s" % (path, error.strerror)) from None
    if len(data) > MAX_TEXT:
        raise ProjectError("%s is larger than the %d bytes allowed" % (path, MAX_TEXT))
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ProjectError("%s is not UTF-8: %s at byte %d" % (path, error.reason, error.start)) from None


def read_version(path: Path) -> str:
    """`__version__` of a module, read from its source: nothing of it runs."""
    try:
        tree = ast.parse(read_text(path))
    except (SyntaxError, ValueError) as error:
        raise ProjectError("%s: %s" % (path, error)) from None
    for node in tree.body:
        if (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == "__version__"):
            try:
                version = ast.literal_eval(node.value)
            except ValueError:
                break
            if isinstance(version, str) and _VERSION.match(version):
                return version
            raise ProjectError("%s: __version__ is %r" % (path, version),
                               "give a version such as 2.0.0 (PEP 440)")
    raise ProjectError('%s: found no line __version__ = "…"' % path)


class _Fields:
    """Typed access to one table, with errors that name the file and the field."""

    def __init__(self, path: Path, table: Mapping[str, Any]) -> None:
        self.path = path
        self.table = table

    def bad(self, name: str, wanted: str) -> ProjectError:
        return ProjectError("%s: project.%s must be %s, not %r"
                            % (self.path, name, wanted, self.table.get(name)))

    def line(self, name: str) -> str:
        value = self.table.get(name)
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise self.bad(name, "one line of text")
        return value

    def lines(self, name: str) -> Tuple[str, ...]:
        value = self.table.get(name, [])
        if not isinstance(value, list) or not all(
                isinstance(item, str) and item and item.isprintable() for item in value):
            raise self.bad(name, "a list of one-line texts")
        return tuple(value)

    def pairs(self, name: str) -> Tuple[Tuple[str, str], ...]:
        value = self.table.get(name, {})
        if not isinstance(value, dict) or not all(
                isinstance(item, str) and (key + item).isprintable() for key, item in value.items()):
            raise self.bad(name, "a table of one-line texts")
        return tuple(sorted(value.items()))

    def license(self) -> str:
        value = self.table.get("license")
        if not isinstance(value, dict) or set(value) != {"text"}:
            raise self.bad("license", 'a table such as {text = "MIT"}')
        return _Fields(self.path, value).line("text")

    def authors(self) -> Tuple[str, ...]:
        value = self.table.get("authors", [])
        if not isinstance(value, list) or not all(
                isinstance(item, dict) and set(item) == {"name"} for item in value):
            raise self.bad("authors", 'a list such as [{name = "…"}]')
        return tuple(_Fields(self.path, item).line("name") for item in value)

    def scripts(self) -> Tuple[Tuple[str, str], ...]:
        found = self.pairs("scripts")
        for command, target in found:
            if not _NAME.match(command) or not _ENTRY_POINT.match(target):
                raise self.bad("scripts", 'a table such as {command = "package.module:function"}')
        return found

    def readme(self, root: Path) -> Tuple[str, str]:
        name = self.line("readme")
        kind = _README_TYPES.get(Path(name).suffix)
        if kind is None or Path(name).name != name:
            raise self.bad("readme", "a file beside pyproject.toml that ends in .md, .rst or .txt")
        return read_text(root / name), kind

    def project(self, root: Path) -> Project:
        unknown = sorted(set(self.table) - set(_FIELDS))
        if unknown:
            raise ProjectError("%s: project.%s is not passed on by this build" % (self.path, unknown[0]),
                               "it knows %s" % ", ".join(_FIELDS))
        if self.table.get("dynamic") != ["version"]:
            raise self.bad("dynamic", '["version"]: the version is jd.__version__')
        name = self.line("name")
        if not _NAME.match(name):
            raise self.bad("name", "letters, digits, '.', '-' and '_' (PEP 508)")
        readme, readme_type = self.readme(root)
        return Project(
            root=root, name=name, version=read_version(root / "jd" / "__init__.py"),
            summary=self.line("description"), readme=readme, readme_type=readme_type,
            requires_python=self.line("requires-python"), license=self.license(),
            authors=self.authors(), keywords=self.lines("keywords"),
            classifiers=self.lines("classifiers"), urls=self.pairs("urls"), scripts=self.scripts())


def metadata_text(project: Project) -> str:
    """METADATA and PKG-INFO: core metadata 2.1, the readme as its body."""
    headers: List[Tuple[str, str]] = [
        ("Metadata-Version", "2.1"),
        ("Name", project.name),
        ("Version", project.version),
        ("Summary", project.summary),
    ]
    headers += [("Author", author) for author in project.authors]
    headers += [("License", project.license)]
    headers += [("Project-URL", "%s, %s" % pair) for pair in project.urls]
    if project.keywords:
        headers.append(("Keywords", ",".join(project.keywords)))
    headers += [("Classifier", classifier) for classifier in project.classifiers]
    headers += [("Requires-Python", project.requires_python),
                ("Description-Content-Type", project.readme_type)]
    return "".join("%s: %s\n" % header for header in headers) + "\n" + project.readme


def entry_points_text(project: Project) -> str:
    """entry_points.txt: the commands that an installation makes."""
    return "[console_scripts]\n" + "".join("%s = %s\n" % pair for pair in project.scripts)
