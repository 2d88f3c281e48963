"""A small project to build, and looks into what was built."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Dict

from jd.dist import contents
from tests.support import ROOT

PYPROJECT = """\
[build-system]
requires = []
build-backend = "jd.dist.backend"
backend-path = ["."]

[project]
name = "jd-worker"
dynamic = ["version"]
description = "A small project"
readme = "README.md"
requires-python = ">=3.8"
license = {text = "MIT"}
keywords = ["one", "two"]
classifiers = ["Programming Language :: Python :: 3"]

[project.scripts]
jd_hello = "jd.hello:entry"
"""

FILES = {
    "pyproject.toml": PYPROJECT,
    "README.md": "# Small\n\nWith a snowman: \u2603\n",
    "LICENSE": "MIT License\n",
    "Makefile": "all:\n",
    "jd/__init__.py": '__version__ = "1.0"\n',
    "jd/hello.py": 'def entry():\n    print("hello from", __file__)\n    return 3\n',
    "jd/server/__init__.py": "",
    "jd/server/web/page.html": "<p>\n",
    "tests/test_it.py": "",
    "tests/fakes/squeue": "#!/bin/sh\nexit 0\n",
    ".ci/run": "#!/bin/sh\n",
    "docker/Dockerfile.worker": "FROM scratch\n",
}

STRAYS = {
    "jd/__pycache__/hello.cpython-38.pyc": "x",
    "jd/hello.pyc": "x",
    "jd/hello.py~": "x",
    "jd/.hidden.py": "x",
    "docs/.secret.md": "x",
    "tests/run.tmp": "#!/bin/sh\n",
    "jd/server/web/.DS_Store": "x",
    "jd_worker.egg-info/PKG-INFO": "x",
    "tests/.cache/data.json": "x",
    "tests/core": "x",
    "notes.txt": "x",
    "dist/jd_worker-0.9-py3-none-any.whl": "x",
    ".venv/lib/thing.py": "x",
    ".git/config": "x",
}


def make_tree(root: Path, version: str = "1.0", **more: str) -> Path:
    """Write the small project into `root`."""
    put(root, FILES)
    put(root, more)
    put(root, {"jd/__init__.py": '__version__ = "%s"\n' % version})
    return root


def put(root: Path, files: Dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))


def copy_checkout(into: Path) -> Path:
    """What builds and `make` need of this checkout, without its documentation and tests."""
    for name in contents.source_files(ROOT):
        if not name.startswith(("docs/", "tests/")):
            path = into / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents.read_bytes(ROOT, name))
    return into


def zip_contents(path: Path) -> Dict[str, bytes]:
    with zipfile.ZipFile(str(path)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tar_members(path: Path) -> Dict[str, tarfile.TarInfo]:
    with tarfile.open(str(path)) as archive:
        return {member.name: member for member in archive.getmembers()}


def unpack_sdist(path: Path, into: Path) -> Path:
    """Unpack an sdist and return its top directory."""
    with tarfile.open(str(path)) as archive:
        for member in archive.getmembers():
            target = into / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            data = archive.extractfile(member)
            target.write_bytes(data.read() if data else b"")
            target.chmod(member.mode)
        return into / archive.getnames()[0].split("/")[0]


def rezip(path: Path, files: Dict[str, bytes]) -> Path:
    """Write a zip file with these contents, as someone who tampers would."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    path.write_bytes(buffer.getvalue())
    return path
