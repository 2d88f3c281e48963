"""What the tests of published clients share."""

from pathlib import Path
from typing import Iterator

import pytest

from tests.server.store_support import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A store on an empty database."""
    opened = Desk(tmp_path)
    yield opened
    opened.database.close()
