import pytest

from tests.server.store_support import Desk


@pytest.fixture
def desk(tmp_path):
    """A store on an empty database."""
    opened = Desk(tmp_path)
    yield opened
    opened.database.close()
