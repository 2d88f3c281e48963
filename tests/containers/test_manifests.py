"""compose.yaml and the manifests for Kubernetes: structure, names, times; what real programs say of them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set

import pytest

from jd import settings
from tests.containers.yaml_subset import YamlError, documents
from tests.support import ROOT, free_env

DOCKER = ROOT / "docker"
MANIFESTS = sorted((DOCKER / "kubernetes").glob("*.yaml"))
TARGETS = ("worker", "server", "hub")
KNOWN = {setting.variable for table in (settings.WORKER, settings.SERVER, settings.HUB) for setting in table}
KUBECTL = shutil.which("kubectl")


@pytest.fixture
def compose() -> Any:
    [document] = documents((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return document


def pods(path: Path) -> Iterator[Any]:
    """The pod templates of a manifest."""
    for document in documents(path.read_text(encoding="utf-8")):
        if "template" in document["spec"]:
            yield document["spec"]["template"]["spec"]


def seconds(text: str) -> int:
    assert re.fullmatch(r"\d+s", text), text
    return int(text[:-1])


# ---- the reader itself

def test_the_reader_knows_what_is_written_here() -> None:
    assert documents('# c\na: 1\nb:\n  - x: "y"\n    z: {}\n  - plain:text\nc:\n---\n- 0400\n') == [
        {"a": 1, "b": [{"x": "y", "z": {}}, "plain:text"], "c": None}, [256]]


@pytest.mark.parametrize("text", [
    "a: [1, 2]", "a: &x 1", "a: *x", "a: |\n  text", "a: 'x'", "a: yes", "a: 1 # why", "a:\n\tb: 1",
    "a: b: c",
    "a: 1\na: 2", "a: 1\n  b: 2", "- 1\n  - 2", "a:\n  - 1\n b: 2", "word", '"a": 1', "a: ${X}: b", "a: \"x",
])
def test_the_reader_refuses_what_it_does_not_know(text: str) -> None:
    with pytest.raises(YamlError):
        documents(text)


# ---- compose

def test_compose_has_hub_server_and_workers(compose: Any) -> None:
    assert set(compose["services"]) == set(TARGETS)
    assert set(compose["volumes"]) == {"hub", "server", "worker"}
    for name, service in compose["services"].items():
        assert service["image"] == "jd-" + name
        assert service["build"] == {"context": "..", "dockerfile": "docker/Dockerfile", "target": name}
        assert service["read_only"] is True and "/tmp" in service["tmpfs"]
        assert service["cap_drop"] == ["ALL"]
        # A fixed name would allow one container of it; HEALTHCHECK is in the image.
        assert not {"container_name", "privileged", "user", "healthcheck"} & set(service)
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source.startswith("$") or source in compose["volumes"]


def test_compose_waits_for_health_and_stops_with_patience(compose: Any) -> None:
    services = compose["services"]
    assert services["server"]["depends_on"] == {"hub": {"condition": "service_healthy"}}
    assert services["worker"]["depends_on"] == {"server": {"condition": "service_healthy"}}
    grace = int(re.sub(r"\$\{JD_GRACE:-(\d+)\}", r"\1", services["worker"]["environment"]["JD_GRACE"]))
    assert seconds(services["worker"]["stop_grace_period"]) > grace
    assert "ports" not in services["worker"]
    # Nothing is open to other machines unless it is asked for.
    assert all(port.startswith("${JD_BIND:-127.0.0.1}:")
               for name in ("hub", "server") for port in services[name]["ports"])


def test_compose_sets_variables_that_are_known(compose: Any) -> None:
    for service in compose["services"].values():
        assert set(service["environment"]) - KNOWN - {"HOME"} == set()


def test_docker_reads_the_compose_file(tmp_path: Path) -> None:
    environment = free_env(tmp_path, JD_API_KEY="jd_key", PWD=tmp_path)
    try:
        subprocess.run(["docker", "compose", "version"], env=environment, check=True, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no docker compose on this machine")
    done = subprocess.run(["docker", "compose", "-f", str(DOCKER / "compose.yaml"), "config", "--format",
                           "json"],
                          env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert set(json.loads(done.stdout.decode())["services"]) == set(TARGETS)


# ---- Kubernetes

@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_pods_are_restricted(path: Path) -> None:
    for pod in pods(path):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["image"] in {"jd-" + target for target in TARGETS}
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            claims = {"data"} if path.name == "server.yaml" else set()
            assert mounted == {volume["name"] for volume in pod["volumes"]} | claims


def _names(container: Any) -> Dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in container["env"]}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_pods_use_settings_that_exist(path: Path) -> None:
    arguments: Set[str] = {setting.name + "=" for setting in settings.WORKER if setting.argument}
    options: Set[str] = {"--" + setting.name for setting in settings.SERVER if setting.argument}
    for pod in pods(path):
        for container in pod["containers"]:
            assert set(_names(container)) - KNOWN == set()
            for word in container["args"]:
                if container["image"] == "jd-worker":
                    assert word.partition("=")[0] + "=" in arguments
                elif word.startswith("--"):
                    assert word in options


@pytest.mark.parametrize("name", ["worker-queue.yaml", "worker-indexed.yaml"])
def test_workers_have_time_to_save_a_checkpoint(name: str) -> None:
    [pod] = pods(DOCKER / "kubernetes" / name)
    [container] = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > int(_names(container)["JD_GRACE"])
    assert {volume["name"]: set(volume) - {"name"} for volume in pod["volumes"]}["scratch"] == {"emptyDir"}


def test_the_two_kinds_of_worker_job() -> None:
    [queue] = documents((DOCKER / "kubernetes/worker-queue.yaml").read_text())
    [indexed] = documents((DOCKER / "kubernetes/worker-indexed.yaml").read_text())
    assert "completions" not in queue["spec"] and queue["spec"]["parallelism"] > 1
    assert "exit_when_empty=true" in queue["spec"]["template"]["spec"]["containers"][0]["args"]
    assert indexed["spec"]["completionMode"] == "Indexed" and indexed["spec"]["completions"] > 1
    assert "once=true" in indexed["spec"]["template"]["spec"]["containers"][0]["args"]


def test_workers_find_the_server() -> None:
    service, state = documents((DOCKER / "kubernetes/server.yaml").read_text())
    assert service["kind"] == "Service" and state["kind"] == "StatefulSet"
    assert service["spec"]["selector"] == state["spec"]["selector"]["matchLabels"]
    assert state["spec"]["template"]["metadata"]["labels"] == state["spec"]["selector"]["matchLabels"]
    assert state["spec"]["replicas"] == 1 and state["spec"]["serviceName"] == service["metadata"]["name"]
    url = "http://%s:%d" % (service["metadata"]["name"], service["spec"]["ports"][0]["port"])
    [server] = state["spec"]["template"]["spec"]["containers"]
    assert _names(server)["JD_SERVER_PUBLIC_URL"] == url
    for name in ("worker-queue.yaml", "worker-indexed.yaml"):
        [pod] = pods(DOCKER / "kubernetes" / name)
        names = _names(pod["containers"][0])
        assert names["JD_SERVER"] == url
        assert names["JD_EXP_ID"] == server["args"][server["args"].index("--expId") + 1]


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl on this machine")
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubectl_knows_every_field(path: Path, tmp_path: Path) -> None:
    """`set env` drops fields that the types of Kubernetes do not have, so none may be missing."""
    missing: List[str] = []
    for text in path.read_text(encoding="utf-8").split("\n---\n"):
        [written] = documents(text)
        if "template" not in written["spec"]:  # a Service, which has no environment
            continue
        done = subprocess.run([str(KUBECTL), "set", "env", "--local", "-f", "-", "-o", "json", "ADDED=last"],
                              input=text.encode(), env=free_env(tmp_path), timeout=60, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        missing += _missing(written, json.loads(done.stdout.decode()), "")
    assert missing == []


def _missing(written: Any, known: Any, where: str) -> List[str]:
    """Paths of what is in `written` and is not the same in `known`."""
    if isinstance(written, dict) and isinstance(known, dict):
        return [path for name, value in written.items()
                for path in _missing(value, known.get(name, "not there"), where + "." + name)]
    if isinstance(written, list) and isinstance(known, list) and len(written) <= len(known):
        return [path for at, value in enumerate(written)
                for path in _missing(value, known[at], "%s[%d]" % (where, at))]
    return [] if written == known else ["%s: %r, not %r" % (where, written, known)]
