from pathlib import Path
from typing import Iterator

import pytest

from tests.hub.hub_support import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A Hub on an empty database."""
    opened = Bench(tmp_path)
    yield opened
    opened.data.close()
