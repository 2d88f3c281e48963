"""`jd_server --with-hub`: server and Hub in one process, and workers that only know the key."""

import signal
import stat
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from tests.e2e.processes import Process, Server
from tests.support import free_env, python, wait_until


class AllInOne(Server):
    """The server with its Hub; `hub` is what it says of that."""

    def __init__(self, directory: Path, *flags: Any, hub_port: int = 0) -> None:
        self.hub_data = directory / "hub"
        super().__init__(directory, "--with-hub", "--hub-port", hub_port, "--hub-data", self.hub_data,
                         *flags)
        self.hub = self.event()
        assert "api_key" not in self.hub
        self.hub["api_key"] = Path(self.hub["api_key_file"]).read_text().strip()

    @property
    def hub_port(self) -> int:
        return int(self.hub["hub_url"].rpartition(":")[2])


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.json"
    path.write_text('{"x": [1, 2, 3]}')
    return path


def work(tmp_path: Path, hub: Dict[str, Any], **environ: Any) -> Tuple[int, str]:
    """Run one worker in the foreground, which knows the Hub and a key only, until it ends."""
    script = tmp_path / "train.py"
    script.write_text("from jd import jd_update_checkpoint\njd_update_checkpoint(1)\n")
    given = dict({"JD_HUB_URL": hub["hub_url"], "JD_API_KEY": hub["api_key"]}, **environ)
    with Process(python("-m", "jd.cli", "expId=exp", "entry_script=%s" % script, "foreground=true",
                        "once=true"), free_env(tmp_path, **given), tmp_path / "worker.err") as worker:
        output, _ = worker.popen.communicate(timeout=60)
        return worker.popen.returncode, output.decode() + worker.errors


def counts(server: AllInOne, tmp_path: Path) -> str:
    """Job counts, asked with a worker's means."""
    done = subprocess.run(
        python("-m", "jd.cli", "expId=exp", "server-info", "json=true"), timeout=60, check=True,
        stdout=subprocess.PIPE, env=free_env(tmp_path, JD_HUB_URL=server.hub["hub_url"],
                                             JD_API_KEY=server.hub["api_key"]))
    return done.stdout.decode()


def test_a_key_is_all_that_a_worker_needs(tmp_path: Path, sweep: Path) -> None:
    with AllInOne(tmp_path, "--jobs", sweep) as server:
        assert server.ready["hub_url"] == server.hub["hub_url"]
        assert server.hub["event"] == "hub" and "/signup?token=" in Path(
            server.hub["signup_file"]).read_text()
        assert server.hub["worker_command"].startswith(
            "JD_API_KEY=\"$(cat %s)\" JD_HUB_URL=%s jd_worker_cli expId=exp" % (
                server.hub["api_key_file"], server.hub["hub_url"]))
        assert server.event()["created"] == 3
        status, output = work(tmp_path, server.hub)
        assert status == 0 and "done" in output and server.hub["api_key"] not in output
        assert '"DONE": 1' in counts(server, tmp_path)
        assert server.call("/job_counts")[0] == 401
        assert server.stop() == 0
        assert server.hub["api_key"] not in server.errors


def test_the_hub_is_found_by_the_access_file(tmp_path: Path, sweep: Path) -> None:
    with AllInOne(tmp_path, "--jobs", sweep) as server:
        wait_until((tmp_path / "home/.jd/servers/exp.json").exists, message="the access file")
        status, output = work(tmp_path, server.hub, JD_HUB_URL=None)
        assert status == 0 and "done" in output
        told = subprocess.run(python("-m", "jd.cli", "expId=exp", "health"), timeout=30, check=True,
                              env=free_env(tmp_path, JD_API_KEY=server.hub["api_key"]),
                              stdout=subprocess.PIPE)
        assert "the Hub %s" % server.hub["hub_url"] in told.stdout.decode()


def test_a_wrong_key_is_refused_in_a_line(tmp_path: Path, sweep: Path) -> None:
    with AllInOne(tmp_path, "--jobs", sweep) as server:
        status, output = work(tmp_path, server.hub, JD_API_KEY="jd_" + "x" * 40)
        assert status == 1 and "key" in output and "x" * 40 not in output
        server.stop()


def test_the_key_stays_and_kill_9_loses_nothing(tmp_path: Path, sweep: Path) -> None:
    with AllInOne(tmp_path, "--jobs", sweep) as server:
        assert work(tmp_path, server.hub)[0] == 0
        key, port = server.hub["api_key"], server.hub_port
        server.stop(signal.SIGKILL)
    key_file = tmp_path / "hub" / "admin.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    with AllInOne(tmp_path, "--jobs", sweep, hub_port=port) as server:
        assert server.hub["api_key"] == key
        assert work(tmp_path, server.hub)[0] == 0
        assert '"DONE": 2' in counts(server, tmp_path)
        server.stop()


def test_a_revoked_key_is_replaced_at_the_next_start(tmp_path: Path) -> None:
    with AllInOne(tmp_path) as server:
        first = server.hub["api_key"]
        subprocess.run(python("-m", "jd.hub", "key", "revoke", "1", "--data", server.hub_data),
                       env=free_env(tmp_path), check=True, timeout=60, stdout=subprocess.DEVNULL)
        server.stop()
    with AllInOne(tmp_path) as server:
        assert server.hub["api_key"] != first
        server.stop()


@pytest.mark.parametrize("flags, status, says", [
    (["--hub", "http://127.0.0.1:1"], 2, "exclude each other"),
    (["--insecure"], 2, "exclude each other"),
    (["--expId", "not_a_hub_name"], 1, "not_a_hub_name"),
])
def test_what_cannot_be(tmp_path: Path, flags: List[str], status: int, says: str) -> None:
    done = subprocess.run(
        python("-m", "jd.server", "--expId", "exp", "--with-hub", "--hub-port", "0", "--port", "0",
               "--dashboard-port", "0", "--hub-data", tmp_path / "hub", "--workspace_path",
               tmp_path / "server", *flags),
        env=free_env(tmp_path, JD_API_KEY="jd_" + "x" * 40), capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert says in done.stderr and done.stderr.count("\n") == 1
