"""What several files here begin with."""

from pathlib import Path
from typing import Iterator

import pytest

from tests.e2e.processes import Server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a file that need no jobs of their own."""
    with Server(tmp_path_factory.mktemp("shared")) as server:
        yield server
        server.stop()


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where scripts leave files that say how far they are, and look for those that say how to go on."""
    directory = tmp_path / "marks"
    directory.mkdir()
    return directory
