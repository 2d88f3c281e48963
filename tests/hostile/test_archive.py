"""jd-worker.pyz where nothing else is there: no site-packages, no variables, any name, no rights."""

import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

from tests.hostile.place import Place
from tests.support import ROOT, python

# The first word that stands for a command.
WORDS = {"jd_worker_cli": [], "jd_server": ["server"], "jd_hub": ["hub"]}


class ArchivePlace(Place):
    """A place whose commands are those of a .pyz."""

    def __init__(self, directory: Path, archive: Path) -> None:
        super().__init__(directory, Path(sys.executable))
        self.archive = str(archive)

    def line(self, command: str, *words: Any) -> List[str]:
        return self.launcher + self.python + [self.archive] + WORDS[command] + [str(w) for w in words]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pyz")
    done = subprocess.run(python("-m", "jd.dist", "pyz", "--out", directory), cwd=str(ROOT),
                          stdout=subprocess.PIPE, check=True, timeout=120)
    return Path(done.stdout.decode().splitlines()[-1])


# Without bytecode each command is compiled anew, which takes a second: so few sweeps ask for much.
def test_a_sweep_is_done_without_variables_and_site_packages(tmp_path: Path, built: Path) -> None:
    with ArchivePlace(tmp_path, built) as place:
        place.python += ["-I", "-S", "-W", "error"]
        place.sweep()


def test_a_sweep_is_done_by_an_archive_of_any_name_that_nobody_can_write(tmp_path: Path, built: Path) -> None:
    directory = tmp_path / "it's \"quoted\" $HOME"
    directory.mkdir()
    archive = directory / "grüße-日本語-🚀 new\nline back\\slash.pyz"
    archive.write_bytes(built.read_bytes())
    archive.chmod(0o444)
    with ArchivePlace(directory, archive) as place:
        place.python += ["-OO", "-bb"]
        place.sweep()


def test_modules_of_the_user_do_not_stand_in_for_pythons(tmp_path: Path, built: Path) -> None:
    shadows = tmp_path / "shadows"
    shadows.mkdir()
    for name in ("argparse", "asyncio", "json", "queue", "sqlite3"):
        (shadows / (name + ".py")).write_text("raise SystemExit('%s')\n" % name)
    with ArchivePlace(tmp_path, built) as place:
        place.environ["PYTHONPATH"] = str(shadows)
        place.script.write_text("import sys\nsys.path.remove(%r)\n" % str(shadows)
                                + place.script.read_text())
        place.sweep()
