"""Three ways to use the bundle, each with the demo, where nothing but loopback can be reached."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.airgap import offline
from tests.airgap.bundles import JOBS, commands, plain_environment, shell
from tests.support import python

pytestmark = pytest.mark.slow
needs_namespace = pytest.mark.skipif(
    not offline.prefix(), reason="no network namespace: unshare is missing, or is not allowed here")

_REACHES_OUT = """
import errno, socket
with socket.socket() as outside:
    outside.settimeout(5)
    print(errno.errorcode[outside.connect_ex(("192.0.2.1", 80))])
with socket.socket() as own:
    own.bind(("127.0.0.1", 0))
    own.listen(1)
    with socket.create_connection(own.getsockname()):
        print("loopback")
"""


@needs_namespace
def test_nothing_but_loopback_is_there() -> None:
    said = subprocess.run(offline.prefix() + python("-c", _REACHES_OUT), check=True, timeout=60,
                          stdout=subprocess.PIPE).stdout.decode().split()
    assert said == ["ENETUNREACH", "loopback"]


def _ran_the_demo(said: str) -> bool:
    return "%d of %d jobs finished" % (JOBS, JOBS) in said and (
        "The %d best of %d settings" % (JOBS, JOBS) in said)


@needs_namespace
def test_one_file(bundle: Path, tmp_path: Path) -> None:
    environ = plain_environment(tmp_path)
    finished = ("until ./jd-worker.pyz expId=digits-tune server-info json=true > info.json && "
                "grep -q '\"DONE\": %d' info.json; do sleep 0.1; done; cat info.json\n" % JOBS)
    said = shell(commands("One file") + finished, bundle, environ, offline.prefix(), 240)
    assert _ran_the_demo(said)
    results = sorted((tmp_path / "home" / "jd_server" / "digits-tune" / "data").glob("*/result.json"))
    assert len(results) == JOBS and "accuracy" in json.loads(results[0].read_text())


def test_install_sh(bundle: Path, tmp_path: Path) -> None:
    # Without a namespace a proxy that nobody is at has to do: what goes out, fails.
    nobody = "http://127.0.0.1:9"
    environ = dict(plain_environment(tmp_path), http_proxy=nobody, https_proxy=nobody)
    said = shell(commands("install.sh"), bundle, environ, offline.prefix(), 240)
    assert _ran_the_demo(said)
    assert "into %s" % (tmp_path / "home" / "jd-worker" / "lib") in said
    software = tmp_path / "home" / "software" / "jd-worker"
    assert [path for path in software.rglob("*") if path.is_file()] == []


def test_pip(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("ensurepip", reason="no ensurepip (Debian: python3-venv), so no venv with pip")
    nobody = "http://127.0.0.1:9"
    environ = dict(plain_environment(tmp_path), http_proxy=nobody, https_proxy=nobody)
    said = shell(commands("pip"), bundle, environ, offline.prefix(), 300)
    assert _ran_the_demo(said)
    assert (tmp_path / "home" / "jd-venv" / "bin" / "jd_hub").is_file()


def test_upgrade_with_a_link(bundle: Path, tmp_path: Path) -> None:
    said = shell(commands("Upgrade"), bundle, plain_environment(tmp_path), offline.prefix(), 60)
    assert "jd_worker_cli " in said
