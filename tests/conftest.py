"""Every test starts without the caller's settings, in a home of its own, and leaves no process."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from tests.support import left_running, wait_until

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(scope="session", autouse=True)
def signals_as_in_a_terminal() -> None:
    """Under nohup, or in the background of a script, signals are ignored, and children inherit that."""
    for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL),
                            (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def no_access_file_at_home(homes: Path) -> Iterator[None]:
    """For servers of fixtures that live longer than one test, and so than its home."""
    before = os.environ.get("JD_ACCESS_DIR")
    os.environ["JD_ACCESS_DIR"] = str(homes / "servers")
    yield
    os.environ.pop("JD_ACCESS_DIR")
    if before is not None:
        os.environ["JD_ACCESS_DIR"] = before


@pytest.fixture(autouse=True)
def own_surroundings(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("JD_") or name.lower() in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", tempfile.mkdtemp(dir=str(homes)))


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    base = str(tmp_path_factory.getbasetemp())
    yield
    try:
        wait_until(lambda: not left_running(base), 20)
    except AssertionError:
        pytest.fail("processes that tests started are still running:\n  "
                    + "\n  ".join(left_running(base)), pytrace=False)
