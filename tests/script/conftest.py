from pathlib import Path
from typing import Iterator, Optional

import pytest

from jd.auth import checkpointkey
from jd.script.upload import Patience
from tests.script.signing import KEY
from tests.script.stub_server import StubServer


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture(autouse=True)
def no_tryout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A try-out that a test begins ends with it."""
    monkeypatch.setenv("JD_TRYOUT_DIR", "")


@pytest.fixture
def job(stub: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The surroundings of job 42, as a worker makes them; the value is its directory."""
    root = tmp_path / "jd_data"
    directory = root / "digits-tune" / "42"
    directory.mkdir(parents=True)
    monkeypatch.setenv("JD_JOB_ID", "42")
    monkeypatch.setenv("JD_EXP_ID", "digits-tune")
    monkeypatch.setenv("JD_SERVER", stub.url)
    monkeypatch.setenv("JD_WORKER_WORKSPACE_ROOT", str(root))
    monkeypatch.setenv("JD_WORKER_JOB_DIR", str(directory))
    monkeypatch.setenv(checkpointkey.VARIABLE, KEY)
    return directory


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public functions try again at once."""
    configured = Patience.configured

    def without_pauses(attempts: Optional[int] = None) -> Patience:
        return Patience(configured(attempts).attempts, (0.0, 0.0))

    monkeypatch.setattr(Patience, "configured", without_pauses)
