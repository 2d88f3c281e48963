"""The images run: as any user, on a read-only root, below an init, with a sweep that ends."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import pytest

from jd.dist import backend, wheel
from jd.dist.metadata import load_project
from tests.bareroot import Network, copy_root, end, needs_bare_root, run_in
from tests.containers.images import BASE, Container, Image, Images, needs_buildah
from tests.support import ROOT, wait_until

pytestmark = [pytest.mark.slow, needs_bare_root, needs_buildah]

TRAIN = """\
import argparse, json, os
from jd import jd_job_dir, jd_upload
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=int)
result = jd_job_dir() / "result.json"
result.write_text(json.dumps({"square": parser.parse_args().x ** 2, "uid": os.getuid()}))
jd_upload(result)
"""
# Waits for a signal and leaves a word; what it says first tells that it can be sent one.
PATIENT = """\
import signal, sys
def leave(*_):
    print("saved a checkpoint", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("in the loop", flush=True)
while True:
    signal.pause()
"""
TOKEN = "0123456789abcdef0123456789abcdef"


class Person(NamedTuple):
    """Whom a container runs as, and on what."""

    user: str
    read_only: bool
    tmpfs: List[str]


PEOPLE = {
    # The files of an image are there once for all tests, so what is written goes elsewhere.
    "root": Person("0:0", False, ["/scratch"]),
    "as the image says, read-only root": Person("1001:0", True, ["/tmp", "/scratch"]),
    "a uid of OpenShift's, read-only root": Person("1000650000:0", True, ["/tmp"]),
    "a user of the host, read-only root": Person("34567:34567", True, ["/tmp"]),
}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """What a user mounts as /work."""
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "train.py").write_text(TRAIN)
    (directory / "patient.py").write_text(PATIENT)
    (directory / "sweep.json").write_text('{"x": [1, 2, 3, 4, 5, 6]}')
    (directory / "one.json").write_text('{"x": [1]}')
    (directory / "token").write_text(TOKEN)
    for path in [directory] + list(directory.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def data_for(user: str, tmp_path: Path, name: str) -> Path:
    """A volume that this user can write."""
    directory = tmp_path / name
    directory.mkdir()
    uid, gid = user.split(":")
    os.chown(str(directory), int(uid), int(gid))
    return directory


def start(closing: ExitStack, image: Image, tmp_path: Path, person: Person, network: Network,
          binds: Dict[Path, str], arguments: Sequence[str] = (), **environ: str) -> Container:
    """A container that ends with the test."""
    return closing.enter_context(Container(
        image, tmp_path / (image.name + ".log"), arguments, environ=environ, user=person.user,
        read_only=person.read_only, tmpfs=person.tmpfs, binds=binds, network=network))


def until_it_says(container: Container, text: str) -> None:
    try:
        wait_until(lambda: text in container.text, message=text)
    except AssertionError as error:
        raise AssertionError("%s; it says: %s" % (error, container.text)) from None


def healthy(container: Container) -> bool:
    assert container.runs, container.text
    return container.health() == 0


@pytest.mark.parametrize("person", PEOPLE.values(), ids=PEOPLE.keys())
def test_a_sweep_through_hub_server_and_worker(images: Images, tmp_path: Path, work: Path,
                                               person: Person) -> None:
    with Network() as network, ExitStack() as closing:
        hub = start(closing, images.hub, tmp_path, person, network,
                    {data_for(person.user, tmp_path, "hub"): "/data"})
        wait_until(lambda: healthy(hub), message="the Hub is healthy")
        assert hub.execute("jd_hub", "user", "add", "ann@example.org").returncode == 0
        made = hub.execute("jd_hub", "key", "create", "--user", "ann@example.org", "--name", "k", "--json")
        key = json.loads(made.stdout)["key"]

        data = data_for(person.user, tmp_path, "server")
        server = start(
            closing, images.server, tmp_path, person, network, {data: "/data", work: "/work"},
            ["--expId", "sweep", "--create", "--jobs", "/work/sweep.json"], JD_API_KEY=key,
            JD_SERVER_HUB="http://127.0.0.1:5080", JD_SERVER_PUBLIC_URL="http://127.0.0.1:5000")
        wait_until(lambda: healthy(server), message="the server is healthy")

        worker = start(closing, images.worker, tmp_path, person, network, {work: "/work"},
                       ["entry_script=/work/train.py"], JD_API_KEY=key, JD_EXP_ID="sweep",
                       JD_HUB_URL="http://127.0.0.1:5080")
        wait_until(lambda: len(list(data.glob("sweep/data/*/result.json"))) == 6, 60, worker.text)
        told = wait_until(lambda: counts(worker, 6), message="all jobs are done")
        assert told == {"DONE": 6}
        assert worker.health() == 0
        assert key not in worker.text + server.text

        results = [json.loads(path.read_text()) for path in data.glob("sweep/data/*/result.json")]
        assert sorted(result["square"] for result in results) == [1, 4, 9, 16, 25, 36]
        assert {str(result["uid"]) for result in results} == {person.user.split(":")[0]}
        assert [container.stop(signal.SIGTERM) for container in (worker, server, hub)] == [0, 0, 0]


def counts(worker: Container, done: int) -> Optional[Dict[str, int]]:
    """Jobs by status where there are some, once so many are done; asked as with `docker exec`."""
    asked = worker.execute("jd_worker_cli", "expId=sweep", "server-info", "json=true")
    found = {status: n for status, n in json.loads(asked.stdout)["counts"].items() if n}
    return found if found.get("DONE") == done else None


def test_a_sweep_through_buildah_run(images: Images, tmp_path: Path, work: Path) -> None:
    """The same without this file's idea of a container, by what runs images elsewhere."""
    data = data_for("23456:0", tmp_path, "data")
    with Network() as network, ExitStack() as closing:
        def run(image: Image, *words: str) -> None:
            container = images.buildah("from", "localhost/" + image.name)
            command = images.buildah.command(
                ["run", "--isolation", "chroot", "--user", "23456:0", "-v", "%s:/data" % data,
                 "-v", "%s:/work" % work, "--env", "JD_SERVER_TOKEN_FILE=/work/token", container, "--"]
                + image.with_arguments(words), network)
            with open(str(tmp_path / (image.name + ".log")), "wb") as log:
                process = subprocess.Popen(command, env=images.buildah.environ, stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log)
            closing.callback(end, process)

        run(images.server, "--expId", "sweep", "--jobs", "/work/sweep.json")
        wait_until(lambda: "jobs       6" in (tmp_path / "jd-server.log").read_text())
        run(images.worker, "expId=sweep", "entry_script=/work/train.py", "server=127.0.0.1", "num_workers=2")
        wait_until(lambda: len(list(data.glob("sweep/data/*/result.json"))) == 6, 60)


# ---- process 1, signals, health

@pytest.mark.parametrize("init", ["tini", "init.py"])
def test_docker_stop_lets_a_job_save_a_checkpoint(images: Images, tmp_path: Path, work: Path,
                                                  init: str) -> None:
    person = PEOPLE["as the image says, read-only root"]
    data = data_for(person.user, tmp_path, "data")
    binds = {work: "/work"}
    if init != "tini":
        binds[Path("/dev/null")] = "/usr/bin/tini"  # not executable: as if it were not there
    with Network() as network, ExitStack() as closing:
        server = start(closing, images.server, tmp_path, person, network, {data: "/data", work: "/work"},
                       JD_SERVER_EXP_ID="sweep", JD_SERVER_JOBS="/work/one.json",
                       JD_SERVER_TOKEN_FILE="/work/token")
        wait_until(lambda: healthy(server), message="the server is healthy")
        worker = start(closing, images.worker, tmp_path, person, network, binds, JD_EXP_ID="sweep",
                       JD_ENTRY_SCRIPT="/work/patient.py", JD_SERVER="127.0.0.1",
                       JD_SERVER_TOKEN_FILE="/work/token")
        until_it_says(worker, "in the loop")
        first = Path("/proc/%d/cmdline" % worker.pid).read_text().split("\0")
        assert init in (os.path.basename(first[0]), os.path.basename(first[2]))

        assert worker.stop(signal.SIGTERM) == 143, worker.text  # both inits pass it on
        assert "saved a checkpoint" in worker.text
        asked = server.execute("jd_worker_cli", "expId=sweep", "server-info", "json=true")
        assert json.loads(asked.stdout)["counts"]["PENDING"] == 1
        assert server.health() == 0
        assert server.stop(signal.SIGTERM) == 0


def inside(images: Images, *command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command as process 1 of the worker's image."""
    return run_in(images.worker.root, command, **dict({"user": "1001:0", "env": images.worker.environ},
                                                      **options))


ORPHAN = """\
import os, time
if os.fork() == 0:
    if os.fork() == 0:
        os._exit(0)            # of nobody's: its parent ends at once
    os._exit(0)
os.wait()
def state(pid):
    try:
        return open("/proc/%s/stat" % pid).read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"             # it goes just now: look again
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    states = [state(pid) for pid in os.listdir("/proc") if pid.isdigit()]
    if "Z" not in states and len(states) == 2:
        raise SystemExit(0)
    time.sleep(0.01)
raise SystemExit("a zombie is left: %s" % states)
"""


@pytest.mark.parametrize("script, status", [
    ("raise SystemExit(7)", 7),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 128 + signal.SIGTERM),
    ("import signal; assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()", 0),
    (ORPHAN, 0),
])
def test_init_ends_as_its_command_and_reaps(images: Images, script: str, status: int) -> None:
    done = inside(images, "/opt/jd/bin/python", "-I", "/opt/jd/init.py", "/usr/bin/python3", "-c", script)
    assert done.returncode == status, done.stderr


def test_init_without_its_command(images: Images) -> None:
    done = inside(images, "/opt/jd/bin/python", "-I", "/opt/jd/init.py", "/nowhere")
    assert (done.returncode, done.stderr) == (127, "error: cannot run /nowhere: No such file or directory\n")


@pytest.mark.parametrize("role", ["worker", "server", "hub"])
def test_health_where_nothing_runs(images: Images, role: str) -> None:
    image: Image = getattr(images, role)
    with Network() as network:
        done = run_in(image.root, image.health, env=image.environ, user="1001:0", network=network)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("unhealthy: ")


def test_health_says_what_the_registry_says(images: Images, tmp_path: Path) -> None:
    foreign = data_for("1:1", tmp_path, "scratch")
    (foreign / ".jd_cache" / ".cache").mkdir(parents=True, mode=0o700)
    (foreign / ".jd_cache" / ".cache").chmod(0)
    done = run_in(images.worker.root, images.worker.health, env=dict(
        images.worker.environ, JD_CACHE_PATH="/scratch/.jd_cache"), user="1001:0",
                  binds={foreign: "/scratch"})
    assert done.returncode == 1
    assert done.stderr == "unhealthy: error: cannot read /scratch/.jd_cache/.cache: Permission denied\n"


# ---- refusals

def test_a_server_without_a_volume_it_can_write(images: Images, tmp_path: Path) -> None:
    foreign = data_for("1:1", tmp_path, "data")
    foreign.chmod(0o755)
    done = run_in(images.server.root, images.server.with_arguments(["--expId", "sweep"]),
                  env=images.server.environ, user="1001:0", binds={foreign: "/data"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("error: uid 1001, gid 0 cannot write in /data; mount a volume there that it "
                           "may write (-v jd-data:/data)\n")


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_what_needs_no_volume_runs_without(images: Images, words: List[str]) -> None:
    done = run_in(images.server.root, images.server.with_arguments(words), env=images.server.environ,
                  user="34567:34567", read_only=True)
    assert done.returncode == 0 and "jd_server" in done.stdout, done.stderr


def test_a_worker_with_nowhere_to_write(images: Images) -> None:
    done = run_in(images.worker.root, images.worker.with_arguments(["version"]),
                  env=images.worker.environ, user="1001:0", read_only=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("error: uid 1001, gid 0 can write neither in /scratch nor in /tmp; add --tmpfs "
                           "/tmp or -v DIR:/scratch\n")


def test_a_server_that_others_reach_makes_a_token(images: Images, tmp_path: Path) -> None:
    data = data_for("1001:0", tmp_path, "data")
    with Network() as network, Container(images.server, tmp_path / "log", ["--expId", "sweep"],
                                         binds={data: "/data"}, network=network) as server:
        wait_until(lambda: healthy(server), message="the server is healthy")
        assert (data / "sweep" / "meta" / "token").stat().st_mode & 0o777 == 0o600
        told = server.execute("jd_server", "--version")
        assert told.returncode == 0 and "warning" not in server.text


def test_a_key_that_is_typed_is_not_in_ps(images: Images, tmp_path: Path, work: Path) -> None:
    secret = "jd_" + "s" * 40
    with Network() as network, Container(
            images.worker, tmp_path / "log", ["expId=sweep", "server=127.0.0.1", "api_key=" + secret,
                                              "entry_script=/work/train.py"],
            binds={work: "/work"}, tmpfs=["/scratch"], network=network) as worker:
        wait_until(lambda: healthy(worker), message="the worker runs")
        shown = worker.execute("sh", "-c", "cat /proc/[0-9]*/cmdline").stdout
        assert "entry_script=" in shown and secret not in shown
        assert secret not in worker.text


# ---- what an engine reads

def test_configuration(images: Images) -> None:
    for image, ports in ((images.worker, []), (images.server, ["5000/tcp", "5050/tcp"]),
                         (images.hub, ["5080/tcp"])):
        config = image.config
        assert config["User"] == "1001:0"
        assert config["StopSignal"] == "SIGTERM"
        assert config["Entrypoint"] == ["/opt/jd/entrypoint.sh", image.name[3:]]
        assert (config.get("Cmd") or []) == (["serve"] if image is images.hub else [])
        assert sorted(config.get("ExposedPorts") or {}) == ports
        assert config["Labels"]["org.opencontainers.image.title"] == image.name
        assert config["Labels"]["org.opencontainers.image.version"] == "1.2.3"
        # Apptainer would take these from the image and not from the host.
        assert [name for name in image.environ if name.startswith("JD_")] == []


def test_what_is_in_an_image(images: Images) -> None:
    root = images.worker.root
    assert not (root / "src").exists()
    assert sorted(path.name for path in (root / "opt/jd").iterdir()) == [
        "bin", "commands", "entrypoint.sh", "health.py", "include", "init.py", "lib", "lib64", "pyvenv.cfg"]
    for path in (root / "opt/jd").rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_uid == 0 and not path.stat().st_mode & 0o022, path
    # Group 0 has the owner's rights: a uid that nobody knows comes with that group.
    for name in ("scratch", "data", "work"):
        status = (root / name).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o070) == (1001, 0, 0o070)


def test_an_unpacked_bundle_is_a_build_context(images: Images, tmp_path: Path) -> None:
    bundle = tmp_path / "a bundle"
    shutil.copytree(str(ROOT / "docker"), str(bundle / "docker"))
    shutil.copy(str(ROOT / ".dockerignore"), str(bundle))
    made = wheel.build_wheel(load_project(backend.source_root()), bundle)
    images.buildah("bud", "--format", "docker", "-f", "docker/Dockerfile", "--target", "wheel",
                   "--build-arg", "BASE=" + BASE, "-t", "of-a-bundle", str(bundle),
                   before=["unshare", "--net"])
    container = images.buildah("from", "localhost/of-a-bundle")
    listed = images.buildah("run", "--isolation", "chroot", container, "--", "ls", "/wheel", "/src",
                            "/src/docker")
    assert listed.split() == ["/src:", "docker", made.name, "/src/docker:", "entrypoint.sh", "health.py",
                              "init.py", "/wheel:", made.name]


def test_scripts_import_what_the_base_has(images: Images, tmp_path: Path) -> None:
    root = copy_root(images.worker.root, tmp_path / "root")
    (root / "usr/lib/python3/dist-packages/torch.py").write_text("there = True\n")
    done = run_in(root, ["python3", "-c", "import jd, torch; print(torch.there)"], env=images.worker.environ)
    shutil.rmtree(str(root))
    assert done.stdout == "True\n", done.stderr


def test_a_worker_without_settings_says_what_is_missing(images: Images) -> None:
    done = inside(images, *images.worker.command)
    assert done.returncode == 2 and "expId" in done.stderr
