"""jd_server writes an access file when it is ready, and takes it back."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Dict

import pytest

from jd.net.finding import accessfile
from jd.server.command import owncert
from tests.e2e.processes import Process, Server
from tests.support import free_env, python, wait_until

pytestmark = pytest.mark.slow


def access_file(directory: Path, name: str = "exp") -> Path:
    return directory / "home" / ".jd" / "servers" / (name + ".json")


def content(directory: Path) -> Dict[str, Any]:
    """The file, once it is there."""
    path = access_file(directory)
    wait_until(path.exists, message="the access file")
    return dict(json.loads(path.read_text()))


def bearer(token: str) -> Dict[str, str]:
    return {"Authorization": "Bearer " + token}


def test_it_stands_there_while_the_server_runs(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        told = content(tmp_path)
        assert told["urls"] == [server.url] and told["pid"] == server.popen.pid and told["hub"] is None
        kept = server.workspace / "exp" / "meta" / "token"
        assert kept.read_text().strip() == told["token"] and kept.stat().st_mode & 0o777 == 0o600
        assert server.stop() == 0
        assert not access_file(tmp_path).exists()
        assert server.errors == ""
    with Server(tmp_path):
        again = content(tmp_path)
        assert (again["token"], again["server_id"]) == (told["token"], told["server_id"])


def test_other_machines_need_its_token(tmp_path: Path) -> None:
    with Server(tmp_path, "--host", "0.0.0.0", "--port", "0") as server:
        told = content(tmp_path)
        server.url = told["urls"][0]
        assert server.url.startswith("http://127.0.0.1:") and len(told["urls"]) > 1
        status, answer = server.call("/job_counts", Host="192.0.2.7")  # as from another machine
        assert status == 401 and "access file" in answer["error"] and told["token"] not in answer["error"]
        assert server.call("/job_counts", Host="192.0.2.7", **bearer("x" * 20))[0] == 401
        assert server.call("/job_counts", Host="192.0.2.7", **bearer(told["token"]))["DONE"] == 0


def test_a_token_file_stands_in_it_as_well(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 20 + "\n")
    token.chmod(0o600)
    with Server(tmp_path, "--token-file", token) as server:
        assert content(tmp_path)["token"] == "t" * 20
        assert not (server.workspace / "exp" / "meta" / "token").exists()


def test_one_of_a_killed_server_goes_when_its_successor_begins(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        first = content(tmp_path)
        server.stop(signal.SIGKILL)
    assert accessfile.Seat(first["machine"], first["pid_namespace"], first["pid"], first["started"]).is_over()
    with Server(tmp_path) as server:
        wait_until(lambda: content(tmp_path)["pid"] == server.popen.pid)
        assert server.stop() == 0 and server.errors == ""


def test_the_place_of_another_server_is_taken_with_a_warning(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    shared: Dict[str, Any] = {"JD_ACCESS_DIR": tmp_path / "servers"}
    path = tmp_path / "servers" / "exp.json"
    with Server(one, **shared) as first:
        wait_until(path.exists)
        with Server(two, **shared) as second:
            wait_until(lambda: json.loads(path.read_text())["urls"] == [second.url])
            assert "access file of another server" in second.errors and first.url in second.errors
            first.stop()
            assert json.loads(path.read_text())["urls"] == [second.url]
            second.stop()
        assert not path.exists()


def test_a_directory_that_others_can_write_is_a_warning_with_one_proposal(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with Server(tmp_path, JD_ACCESS_DIR=str(tmp_path / "open")) as server:
        wait_until(lambda: "no access file" in server.errors)
        advice = "set JD_ACCESS_DIR to a directory of your own that all your nodes share"
        assert server.errors.count(advice) == 1
        assert server.errors.count("JD_ACCESS_DIR") == 1 and server.errors.count("\n") == 1


@pytest.mark.parametrize("home", ["/dev/null/home", "file"])
def test_a_home_that_cannot_be_written_is_a_warning(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").write_text("")
    with Server(tmp_path, HOME=str(tmp_path / home) if home == "file" else home) as server:
        wait_until(lambda: "no access file" in server.errors)
        assert server.errors.count("JD_ACCESS_DIR") == 1 and server.errors.count("\n") == 1
        assert server.call("/healthz")["status"] == "ok"
        assert server.stop() == 0


# ---- found by it

SCRIPT = """
import json, jd
path = jd.jd_job_dir() / "result.json"
path.write_text(json.dumps({"ok": 1}))
jd.jd_upload(path)
jd.jd_update_checkpoint({"step": 1})
assert jd.jd_get_last_checkpoint() == {"step": 1}
"""


def sweep(directory: Path, jobs: int = 2) -> Path:
    path = directory / "sweep.json"
    path.write_text(json.dumps({"x": list(range(jobs))}))
    return path


def script(directory: Path, text: str = SCRIPT) -> Path:
    path = directory / "train.py"
    path.write_text(text)
    return path


def cli(directory: Path, *words: str, **environ: Any) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(python("-m", "jd.cli", *words), env=free_env(directory, **environ), timeout=120,
                          capture_output=True, stdin=subprocess.DEVNULL, cwd=str(directory))


def started(directory: Path) -> Dict[str, Any]:
    """What `jd_worker_cli` says of the server."""
    done = cli(directory, "expId=exp", "health", "json=true")
    return dict(json.loads(done.stdout)["server"])


def test_a_sweep_for_all_machines_without_a_word_about_server_or_token(tmp_path: Path) -> None:
    with Server(tmp_path, "--host", "0.0.0.0", "--jobs", sweep(tmp_path)) as server:
        told = content(tmp_path)
        done = cli(tmp_path, "expId=exp", "entry_script=%s" % script(tmp_path), "foreground=true",
                   "exit_when_empty=true", "collect=*.json", JD_SERVER_TOKEN="of-another-server-altogether")
        assert done.returncode == 0, done.stderr
        server.url = told["urls"][0]
        assert server.call("/job_counts", **bearer(told["token"]))["DONE"] == 2
        info = cli(tmp_path, "expId=exp", "server-info", "json=true")
        assert json.loads(info.stdout)["counts"]["DONE"] == 2
        for text in (done.stdout, done.stderr, info.stdout, server.errors.encode()):
            assert told["token"].encode() not in text
        for root, _, names in os.walk(str(tmp_path)):
            for name in names:
                if name not in ("exp.json", "token"):
                    assert told["token"].encode() not in Path(root, name).read_bytes(), name


def test_background_workers_and_what_looks_after_them(tmp_path: Path) -> None:
    with Server(tmp_path, "--host", "0.0.0.0") as server:
        told = content(tmp_path)
        launch = cli(tmp_path, "expId=exp", "entry_script=%s" % script(tmp_path))
        assert launch.returncode == 0, launch.stderr
        try:
            assert json.loads(cli(tmp_path, "expId=exp", "server-info", "json=true").stdout)["total"] == 0
            registry = (tmp_path / "cache" / ".cache" / "exp" / "workers.db").read_bytes()
            assert told["token"].encode() not in registry and b"exp.json" in registry
            assert cli(tmp_path, "expId=exp", "scale", "num_workers=2").returncode == 0
            assert cli(tmp_path, "expId=exp", "restart", "all").returncode == 0
            server.url = told["urls"][0]
        finally:
            stopped = cli(tmp_path, "expId=exp", "stop", "all")
        assert stopped.returncode == 0 and b"was not told" not in stopped.stderr


def test_two_servers_of_one_machine(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with Server(tmp_path, "--jobs", sweep(tmp_path, 1)) as first:
        with Process(python("-m", "jd.server", "--expId", "two", "--port", "0", "--dashboard-port", "0",
                            "--workspace_path", other, "--jobs", sweep(other, 3)),
                     free_env(tmp_path), other / "err"):
            content(tmp_path)
            wait_until(access_file(tmp_path, "two").exists)
            for name, total in (("exp", 1), ("two", 3)):
                told = json.loads(cli(tmp_path, "expId=" + name, "server-info", "json=true").stdout)
                assert told["total"] == total
            assert started(tmp_path)["url"] == first.url


def test_a_running_worker_follows_its_server_to_another_port(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        content(tmp_path)
        with Process(python("-m", "jd.cli", "expId=exp", "entry_script=%s" % script(tmp_path),
                            "foreground=true"), free_env(tmp_path), tmp_path / "worker.err",
                     tmp_path) as worker:
            worker.stdout.readline()
            assert server.url.encode() in worker.stdout.readline()
            server.stop()
            with Server(tmp_path, "--jobs", sweep(tmp_path)) as again:
                assert again.url != server.url
                again.until(DONE=2, timeout=60)
            worker.stop()


def test_a_killed_server_is_named(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        content(tmp_path)
        server.stop(signal.SIGKILL)
        pid = server.popen.pid
    for words in (["server-info"], ["entry_script=%s" % script(tmp_path)]):
        done = cli(tmp_path, "expId=exp", *words)
        assert done.returncode == 1 and done.stderr.count(b"\n") == 1
        for part in (str(access_file(tmp_path)), "pid %d" % pid, "jd_server --expId exp"):
            assert part.encode() in done.stderr


def test_a_script_that_names_a_job_finds_it(tmp_path: Path) -> None:
    with Server(tmp_path, "--host", "0.0.0.0", "--tls", "auto", "--jobs", sweep(tmp_path, 1)) as server:
        told = content(tmp_path)
        done = subprocess.run(
            python("-c", "import jd; jd.jd_upload('sweep.json', job_id=1)"), cwd=str(tmp_path), timeout=60,
            env=free_env(tmp_path, JD_EXP_ID="exp", JD_UPLOAD_MAX_RETRIES="1"), stderr=subprocess.PIPE)
        # The token was accepted over TLS: what is refused is an upload to a job that nobody runs.
        assert told["urls"][0].encode() in done.stderr and b"answered 409" in done.stderr
        assert server.popen.poll() is None


# ---- --tls auto

def test_a_certificate_of_its_own_for_workers_scripts_and_commands(tmp_path: Path) -> None:
    with Server(tmp_path, "--host", "0.0.0.0", "--tls", "auto", "--jobs", sweep(tmp_path)) as server:
        told = content(tmp_path)
        assert server.url.startswith("https://") and told["certificate"].startswith("-----BEGIN CERT")
        done = cli(tmp_path, "expId=exp", "entry_script=%s" % script(tmp_path), "foreground=true",
                   "exit_when_empty=true")
        assert done.returncode == 0, done.stderr
        info = cli(tmp_path, "expId=exp", "server-info", "json=true")
        assert json.loads(info.stdout)["counts"]["DONE"] == 2
        assert list((server.workspace / "exp" / "data").glob("*/result.json*"))
        doctor = json.loads(cli(tmp_path, "expId=exp", "doctor", "json=true").stdout)
        server_findings = [found for found in doctor["findings"] if found["topic"] == "Server"]
        assert {found["level"] for found in server_findings} == {"ok"}, server_findings
        assert server.stop() == 0 and "https" not in server.errors
    key = server.workspace / "exp" / "meta" / "tls-key.pem"
    assert key.stat().st_mode & 0o777 == 0o600


def test_an_address_without_https_is_told(tmp_path: Path) -> None:
    with Server(tmp_path, "--tls", "auto") as server:
        content(tmp_path)
        plain = server.url.replace("https:", "http:")
        for words in (["entry_script=%s" % script(tmp_path)], ["server-info"]):
            done = cli(tmp_path, "expId=exp", "server=" + plain[len("http://"):], *words)
            assert done.returncode == 1 and done.stderr.count(b"\n") == 1
            said = "%s speaks https, not http; give %s" % (plain, server.url)
            assert said in done.stderr.decode()
        assert not list(tmp_path.glob("workspace/jd_data/exp/jd_worker_logs/*"))


def test_a_server_with_another_certificate_gets_nothing(tmp_path: Path) -> None:
    with Server(tmp_path, "--tls", "auto") as server:
        told = content(tmp_path)
        other = owncert.text(owncert.kept(tmp_path, []).certificate)
        access_file(tmp_path).write_text(json.dumps(dict(told, certificate=other)))
        # A launch that is not given the file would read it again for 15 s.
        launch = ["entry_script=%s" % script(tmp_path), "server=@%s" % access_file(tmp_path)]
        for words in (["server-info"], launch):
            done = cli(tmp_path, "expId=exp", *words)
            assert done.returncode == 1 and b"certificate is not the one in the access file" in done.stderr
        assert server.popen.poll() is None


def test_the_certificate_holds_for_the_machine_where_the_url_is_named(tmp_path: Path) -> None:
    with Server(tmp_path, "--tls", "auto") as server:
        content(tmp_path)
        bundle = server.workspace / "exp" / "meta" / "tls-cert.pem"
        done = cli(tmp_path, "expId=exp", "server-info", "server=" + server.url, JD_CA_BUNDLE=bundle)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("flags, says", [
    (["--tls-cert", "c", "--tls-key", "k"], "leave one"), (["--with-hub"], "without a Hub"),
    (["--hub", "http://h"], "without a Hub")])
def test_what_a_certificate_of_its_own_excludes(tmp_path: Path, flags: Any, says: str) -> None:
    done = subprocess.run(python("-m", "jd.server", "--expId", "e", "--tls", "auto", *flags),
                          env=free_env(tmp_path), stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2 and says.encode() in done.stderr and done.stderr.count(b"\n") == 1


# ---- the shell

def shell(directory: Path, *words: str, **environ: Any) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(python("-m", "jd.cli", *words), env=free_env(directory, **environ), timeout=60,
                          input=b"server-info json=true\n", capture_output=True)


def test_the_shell_opens_without_a_key_where_ones_own_server_is(tmp_path: Path) -> None:
    assert b"an API key is needed" in shell(tmp_path, "-i").stderr
    with Server(tmp_path) as server:
        content(tmp_path)
        assert json.loads(shell(tmp_path, "-i", "expId=exp").stdout)["total"] == 0
        any_of_them = shell(tmp_path)
        assert b"API key" not in any_of_them.stderr and b"expId= is missing" in any_of_them.stderr
        assert b"an API key is needed" in shell(tmp_path, "-i", "expId=other").stderr
        with_key = shell(tmp_path, "-i", JD_API_KEY="jd_x", JD_HUB_URL="http://127.0.0.1:9")
        assert b"the Hub http://127.0.0.1:9 cannot be reached" in with_key.stderr
        server.stop()
    assert b"an API key is needed" in shell(tmp_path, "-i", "expId=exp").stderr
