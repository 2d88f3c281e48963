"""An installation like any user's, and a place to change for the worse."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from tests.hostile.place import Place
from tests.support import ROOT


def install(venv: Path) -> Path:
    """A venv with this checkout installed, as a copy; its Python."""
    bare = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(venv.parent)}
    python = venv / "bin" / "python"
    for line, environ in (([sys.executable, "-m", "venv", "--without-pip", str(venv)], bare),
                          ([str(python), "-m", "jd.dist.install", "--quiet"],
                           dict(bare, PYTHONPATH=str(ROOT)))):
        subprocess.run(line, env=environ, check=True, timeout=120)
    return python


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed") / "venv")


@pytest.fixture
def place(tmp_path: Path, installed: Path) -> Iterator[Place]:
    with Place(tmp_path, installed) as found:
        yield found
