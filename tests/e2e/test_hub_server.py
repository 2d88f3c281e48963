"""A Hub and a job server as processes: whose tokens the server takes, and for how long."""

import base64
import json
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import pytest

from jd.auth import jwt
from tests.e2e.processes import EXPERIMENT, Process, Server
from tests.hub.hub_support import ALICE, EXPERIMENTS, TOKEN, HubProcess, mentions
from tests.support import ROOT, free_env, python, wait_until

GRID = {"parameters": {"x": [1, 2, 3]}}
ROUTE = EXPERIMENTS + "/" + EXPERIMENT
# The command, with an impatient link to the Hub.
IMPATIENT = ("import sys; from jd.errors import run_command; from jd.server.command import cli; "
             "from jd.server.hubside import hublink; "
             "sys.exit(run_command(lambda argv: cli.main(argv, hublink.Intervals(.1, .1, .05, .1))))")


class HubServer(Server):
    """`jd_server --hub` on free ports."""

    def __init__(self, directory: Path, hub_url: str, key: Optional[str], *flags: Any,
                 **environ: Any) -> None:
        self.workspace = directory / "server"
        super(Server, self).__init__(
            python("-c", IMPATIENT, "--expId", EXPERIMENT, "--port", 0, "--dashboard-port", 0,
                   "--workspace_path", self.workspace, "--json", "--hub", hub_url, *flags),
            free_env(directory, JD_API_KEY=key, **environ), directory / "server.err")
        self.first = self.stdout.readline()
        if self.first:
            self.ready = json.loads(self.first)
            self.url = self.ready["server_url"]

    @property
    def secret(self) -> str:
        return str(json.loads((self.workspace / EXPERIMENT / "meta" / "hub.json").read_text())["secret"])

    def ask(self, token: Optional[str], route: str = "/job_counts", body: object = None) -> Tuple[int, Any]:
        """Status and decoded answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = "Bearer " + token
        try:
            with build_opener(ProxyHandler({})).open(
                    Request(self.url + route, data, headers), timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            return error.code, json.loads(error.read())


class HubOfAlice(HubProcess):
    """A Hub where Alice has an account."""

    key: str  # hers


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubOfAlice]:
    with HubOfAlice(tmp_path) as process:
        process.key = member(tmp_path, ALICE)
        yield process


def member(tmp_path: Path, email: str) -> str:
    """A new user with a key."""
    def jd_hub(*words: str) -> Dict[str, Any]:
        done = subprocess.run(python("-m", "jd.hub", *words, "--data", tmp_path / "data", "--json"),
                              check=True, env=free_env(tmp_path), stdout=subprocess.PIPE, timeout=60)
        return dict(json.loads(done.stdout))
    jd_hub("user", "add", email)
    return str(jd_hub("key", "create", "--user", email, "--name", "laptop")["key"])


def worker_token(hub: HubOfAlice) -> Dict[str, Any]:
    status, answer = hub.call("POST", TOKEN, hub.key, {"experiment_name": EXPERIMENT})
    assert status == 200, answer
    return dict(answer)


def claims(**changed: Any) -> Dict[str, Any]:
    now = time.time()
    return dict({"sub": "worker", "exp_id": "x", "exp_name": EXPERIMENT, "user_id": 1, "jti": "j",
                 "iat": now, "exp": now + 600}, **changed)


def unsigned(**changed: Any) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    return "%s.%s." % (part({"alg": "none", "typ": "JWT"}), part(claims(**changed)))


def test_a_token_of_the_hub_opens_the_server_that_it_names(tmp_path: Path, hub: HubOfAlice) -> None:
    with HubServer(tmp_path, hub.url, hub.key, "--create") as server:
        assert server.ready["hub_url"] == hub.url
        issued = worker_token(hub)
        assert issued["server_url"] == server.url
        shown = hub.call("GET", ROUTE, hub.key)[1]
        assert shown["dashboard_url"] == server.ready["dashboard_url"]
        token = issued["worker_token"]
        assert server.ask(token, "/api/jobs/create", GRID)[1]["total_jobs"] == 3
        status, reply = server.ask(token, "/worker/heartbeat", {"worker_id": "w"})
        assert status == 200 and reply["job"]["job_id"] == 1
        assert server.ask(None, "/healthz")[0] == 200
        secrets = [hub.key, token, server.secret]
        assert server.stop() == 0
        rest = server.stdout.read().decode()
        assert json.loads(rest) == {"event": "stopping"} and server.errors == ""
        assert mentions(server.first.decode() + rest + server.errors + hub.errors, secrets) == []


def test_every_other_token_is_refused_and_changes_nothing(tmp_path: Path, hub: HubOfAlice) -> None:
    with HubServer(tmp_path, hub.url, hub.key, "--create") as server:
        good = worker_token(hub)["worker_token"]
        server.ask(good, "/api/jobs/create", GRID)
        hub.call("POST", EXPERIMENTS, hub.key, {"name": "other"})
        hub.call("POST", EXPERIMENTS + "/other/register", hub.key, {"server_url": server.url})
        others = hub.call("POST", TOKEN, hub.key, {"experiment_name": "other"})[1]["worker_token"]
        bad = [None, "", "x", hub.key, "t" * 5000, others, good[:-3], good + "A", unsigned(),
               jwt.sign(claims(), "f" * 48), jwt.sign(claims(exp=time.time() - 60), server.secret),
               jwt.sign(claims(exp_name="other"), server.secret),
               jwt.sign(claims(sub="user"), server.secret)]
        for token in bad:
            for route, body in [("/worker/heartbeat", {"worker_id": "w"}), ("/api/jobs/create", GRID),
                                ("/job_counts", None), ("/api/jobs", None),
                                ("/update_job_status", {"job_id": 1, "status": "DONE"})]:
                status, answer = server.ask(token, route, body)
                assert status == 401 and answer["success"] is False and answer["error"], (token, route)
                assert not token or len(token) < 8 or token not in answer["error"]
        counts = server.ask(good)[1]
        assert (counts["PENDING"], sum(counts.values())) == (3, 3)
        assert mentions(server.errors, [good, others, server.secret]) == []


def test_a_revoked_token_ends(tmp_path: Path, hub: HubOfAlice) -> None:
    with HubServer(tmp_path, hub.url, hub.key, "--create") as server:
        first, second = worker_token(hub)["worker_token"], worker_token(hub)["worker_token"]
        jti = jwt.verify_worker(first, server.secret, time.time()).jti
        assert server.ask(first)[0] == 200
        assert hub.call("POST", ROUTE + "/revoke-token", hub.key, {"jti": jti})[0] == 200
        wait_until(lambda: server.ask(first)[0] == 401)
        assert "revoked" in server.ask(first)[1]["error"] and server.ask(second)[0] == 200


@pytest.mark.parametrize("deleted", [False, True])
def test_a_server_whose_own_key_is_revoked_ends(tmp_path: Path, hub: HubOfAlice, deleted: bool) -> None:
    def jd_hub(*words: str) -> None:
        subprocess.run(python("-m", "jd.hub", *words, "--data", tmp_path / "data", "--json"), check=True,
                       env=free_env(tmp_path), stdout=subprocess.DEVNULL, timeout=60)

    with HubServer(tmp_path, hub.url, hub.key, "--create") as server:
        token = worker_token(hub)["worker_token"]
        assert server.ask(token)[0] == 200
        jd_hub("key", "revoke", "1")
        if deleted:
            jd_hub("experiment", "delete", EXPERIMENT)
        assert server.popen.wait(60) == 0
        assert "JD_API_KEY" in server.stdout.read().decode()
        assert server.errors.count("refuses this server's key") == 1


def test_without_the_hub_it_serves_on_and_can_be_started_again(tmp_path: Path, hub: HubOfAlice) -> None:
    port = hub.url.rpartition(":")[2]
    with HubServer(tmp_path, hub.url, hub.key, "--create") as server:
        token = worker_token(hub)["worker_token"]
        hub.popen.kill()
        wait_until(lambda: "the Hub does not answer" in server.errors)
        assert server.ask(token)[0] == 200
        assert server.stop() == 0 and server.errors.count("warning") == 1
    with HubServer(tmp_path, hub.url, hub.key) as server:
        assert server.ask(token)[0] == 200 and "the Hub is away" in server.errors
        with HubOfAlice(tmp_path, "--port", port) as again:
            again.key = hub.key
            wait_until(lambda: "the Hub answers again" in server.errors)
            assert worker_token(again)["server_url"] == server.url
            assert server.stop() == 0
        assert mentions(server.errors, [token, hub.key, server.secret]) == []


def test_a_deleted_experiment_stops_its_server(tmp_path: Path, hub: HubOfAlice) -> None:
    with HubServer(tmp_path, hub.url, hub.key, "--create") as server:
        assert hub.call("DELETE", ROUTE, hub.key)[0] == 200
        assert server.popen.wait(60) == 0
        event = server.event()
        assert event["event"] == "stopping" and "was deleted" in event["reason"]
    with HubServer(tmp_path, hub.url, hub.key) as server:
        assert server.popen.wait(60) == 1 and server.errors.count("\n") == 1
        assert "was deleted" in server.errors


@pytest.mark.parametrize("key, flags, status, says", [
    ("jd_" + "x" * 40, [], 1, "refuses the key in JD_API_KEY"),
    ("mine", [], 1, "add --create"),
    (None, [], 2, "set JD_API_KEY"),
    ("mine", ["--insecure"], 2, "exclude each other"),
    ("mine", ["--expId", "bad.name", "--create"], 1, "'bad.name' cannot be used"),
])
def test_a_start_that_cannot_be_is_explained_in_a_line(tmp_path: Path, hub: HubOfAlice, key: Optional[str],
                                                       flags: List[str], status: int, says: str) -> None:
    key = hub.key if key == "mine" else key
    with HubServer(tmp_path, hub.url, key, *flags) as server:
        assert server.popen.wait(60) == status and server.first == b""
        assert says in server.errors and server.errors.count("\n") == 1
        assert mentions(server.errors, [key or "?"]) == []


def test_create_without_a_hub_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(python("-m", "jd.server", "--expId", "e", "--create"), env=free_env(tmp_path),
                          capture_output=True, timeout=60)
    assert done.returncode == 2 and b"give --hub URL" in done.stderr


def test_what_people_see(tmp_path: Path, hub: HubOfAlice) -> None:
    command = python("-m", "jd.server", "--expId", EXPERIMENT, "--port", 0, "--dashboard-port", 0, "--create",
                     "--workspace_path", tmp_path / "w", "--hub", hub.url)
    with Process(command, free_env(tmp_path, JD_API_KEY=hub.key), tmp_path / "err") as process:
        lines = [process.stdout.readline().decode().split() for _ in range(6)]
        assert [line[0] for line in lines] == ["jd_server", "server", "dashboard", "pin", "hub", "data"]
        assert lines[4] == ["hub", hub.url]
        assert lines[3] == ["pin", "in", str(tmp_path / "w" / EXPERIMENT / "meta" / "pin")]
        assert process.stop() == 0


def test_other_machines_are_let_in_and_the_public_url_is_registered(tmp_path: Path, hub: HubOfAlice) -> None:
    with HubServer(tmp_path, hub.url, hub.key, "--create", "--host", "0.0.0.0",
                   JD_SERVER_PUBLIC_URL="https://jobs.example/exp") as server:
        assert server.url == worker_token(hub)["server_url"] == "https://jobs.example/exp"
        assert server.stop() == 0 and server.errors == ""


def test_everything_over_tls(tmp_path: Path) -> None:
    """The certificate holds for localhost; who trusts it is told by JD_CA_BUNDLE."""
    both = ROOT / "tests" / "net_client" / "localhost.pem"
    pem = tmp_path / "tls.pem"
    pem.write_bytes(both.read_bytes())
    pem.chmod(0o600)
    tls = ["--host", "localhost", "--tls-cert", pem, "--tls-key", pem]
    trust = ssl.create_default_context(cafile=str(pem))
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=trust))

    def call(url: str, key: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with opener.open(Request(url, data, {"Content-Type": "application/json",
                                             "Authorization": "Bearer " + key}), timeout=60) as answer:
            return json.loads(answer.read())
    with HubProcess(tmp_path, *tls) as hub:
        assert hub.url.startswith("https://localhost:")
        key = member(tmp_path, ALICE)
        with HubServer(tmp_path, hub.url, key, "--create", *tls, JD_CA_BUNDLE=pem) as server:
            issued = call(hub.url + TOKEN, key, {"experiment_name": EXPERIMENT})
            assert issued["server_url"] == server.url
            assert server.url.startswith("https://localhost:")
            assert call(server.url + "/job_counts", issued["worker_token"])["PENDING"] == 0
            dashboard = server.ready["dashboard_url"]
            assert dashboard.startswith("https://") and call(dashboard + "/healthz", "")["status"] == "ok"
            assert server.stop() == 0 and server.errors == ""
        assert hub.stop() == 0 and hub.errors == ""


def test_a_key_that_others_can_read_is_warned_of_and_one_file_alone_refused(tmp_path: Path) -> None:
    pem = tmp_path / "tls.pem"
    pem.write_bytes((ROOT / "tests" / "net_client" / "localhost.pem").read_bytes())
    pem.chmod(0o644)
    with HubProcess(tmp_path, JD_HUB_TLS_CERT=pem, JD_HUB_TLS_KEY=pem) as hub:
        assert hub.stop() == 0 and "chmod 600" in hub.errors
    with Server(tmp_path, JD_SERVER_TLS_CERT=pem, JD_SERVER_TLS_KEY=pem) as server:
        assert server.url.startswith("https://")
        assert server.stop() == 0 and "chmod 600" in server.errors
    for module in (["jd.server", "--expId", "e"], ["jd.hub", "serve"]):
        done = subprocess.run(python("-m", *module, "--tls-cert", pem), env=free_env(tmp_path),
                              capture_output=True, timeout=60)
        assert done.returncode == 2 and b"--tls-key FILE is missing" in done.stderr


def test_a_pin_that_is_reset_at_the_hub_opens_the_dashboard(tmp_path: Path, hub: HubOfAlice) -> None:
    def reset() -> str:
        done = subprocess.run(python("-m", "jd.hub", "experiment", "pin-reset", EXPERIMENT, "--data",
                                     tmp_path / "data", "--json"), env=free_env(tmp_path), check=True,
                              stdout=subprocess.PIPE, timeout=60)
        return str(json.loads(done.stdout)["pin"])

    with HubServer(tmp_path, hub.url, hub.key, "--create") as server:
        server.url = server.ready["dashboard_url"]

        def opens(pin: str) -> bool:
            return server.ask(None, "/web/signin", {"pin": pin})[0] == 200
        assert opens(server.pin)
        pin = reset()
        wait_until(lambda: "was reset at the Hub" in server.errors)
        assert opens(pin) and pin not in server.errors + hub.errors
        server.stop()
    later = reset()
    with HubServer(tmp_path, hub.url, hub.key) as server:
        assert "pin_file" not in server.ready  # the first PIN was taken back with its file
        wait_until(lambda: server.errors.count("was reset at the Hub") == 2)
        server.url = server.ready["dashboard_url"]
        assert server.ask(None, "/web/signin", {"pin": later})[0] == 200
        server.stop()
