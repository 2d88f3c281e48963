from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import jd
from jd.sweep import session
from jd.sweep.session import Session
from tests.script.stub_server import Answer, StubServer
from tests.support import free_env

HEALTH = {"status": "ok", "expId": "exp", "role": "api", "extensions": []}


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test begins without a session, without variables, in a directory of its own, as its own user."""
    monkeypatch.setattr(session, "_current", None)
    monkeypatch.setattr(session, "_PAUSES", (0.001, 0.001))
    for name, value in free_env(tmp_path).items():
        monkeypatch.setenv(name, value)
    for name in ("JD_EXP_ID", "JD_SERVER", "JD_PORT", "JD_API_KEY", "JD_HUB_URL", "JD_WORKER_JOB_DIR",
                 "JD_ACCESS_DIR", "JD_SERVER_TOKEN", "JD_SERVER_TOKEN_FILE", "JD_WORKER_WORKSPACE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "cwd"
    directory.mkdir()
    monkeypatch.chdir(str(directory))
    yield


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def begun(stub: StubServer) -> Callable[..., Session]:
    """Begins a session on the stub, which has these extensions, and forgets what it was asked for that."""
    def begin(*extensions: str) -> Session:
        stub.otherwise = Answer(200, dict(HEALTH, extensions=list(extensions)))
        begun: Session = jd.init(exp_id="exp", server=stub.url)
        begun.offers("")
        del stub.asked[:]
        return begun
    return begin


def query_of(asked: Any) -> str:
    """What a request asks for, behind the question mark."""
    return str(asked.target.partition("?")[2])
