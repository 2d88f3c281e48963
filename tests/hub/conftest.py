from pathlib import Path
from typing import Iterator

import pytest

from tests.hub.hub_support import Bench
from tests.support import cheap_passwords


@pytest.fixture(scope="module", autouse=True)
def quick_hashes() -> Iterator[None]:
    with cheap_passwords():
        yield


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A Hub on an empty database."""
    opened = Bench(tmp_path)
    yield opened
    opened.data.close()
