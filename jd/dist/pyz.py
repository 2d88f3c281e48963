"""jd-worker.pyz: the whole package as one file that Python runs (zipapp, PEP 441)."""

from pathlib import Path

from jd.dist import archive, contents
from jd.dist.metadata import Project, ProjectError

NAME = "jd-worker.pyz"  # without the version: scripts and templates that name it stay as they are
_START = b"#!/usr/bin/env python3\n"
_MAIN = contents.PACKAGE + "/__main__.py"


def pyz_bytes(project: Project) -> bytes:
    """The file. The same tree gives the same bytes."""
    entries = [contents.read_entry(project.root, name)._replace(executable=False)
               for name in contents.package_files(project.root)]
    main = [entry._replace(name="__main__.py") for entry in entries if entry.name == _MAIN]
    if not main:
        raise ProjectError("%s is missing: a .pyz starts with it" % (project.root / _MAIN))
    licence = archive.Entry("LICENSE", contents.read_bytes(project.root, "LICENSE"))
    return archive.zip_bytes(main + [licence] + entries, archive.timestamp(), _START)


def build_pyz(project: Project, directory: Path) -> Path:
    """Write the .pyz into `directory`, executable, and return its path."""
    path = directory / NAME
    archive.write_whole(path, pyz_bytes(project), executable=True)
    return path
