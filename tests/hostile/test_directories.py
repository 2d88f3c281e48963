"""Homes, temporary directories, installations and disks as clusters and containers have them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, Optional

import pytest

from tests.hostile.conftest import install
from tests.hostile.place import EXPERIMENT, SCRIPT, TIMEOUT, Place, clean, refused, wrong
from tests.support import wait_until

pytestmark = pytest.mark.slow  # sweeps of an installation of its own, one after the other

# No file of root's is unwritable to root; without capabilities, as the user of a namespace, it is.
# No passwd entry has that uid.
STRANGER = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
_can_be_stranger = sys.platform == "linux" and shutil.which("unshare") is not None and subprocess.run(
    STRANGER + ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
as_stranger = pytest.mark.skipif(
    not _can_be_stranger, reason="no user namespaces: unshare --user --map-user does not work here")
# Root of a namespace may mount there what the rest of the machine does not see.
ANOTHER_ROOT = ["unshare", "--user", "--map-root-user", "--mount"]
_can_be_root = sys.platform == "linux" and shutil.which("unshare") is not None and subprocess.run(
    ANOTHER_ROOT + ["mount", "--bind", "/etc/passwd", "/etc/passwd"],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
as_another_root = pytest.mark.skipif(
    not _can_be_root, reason="no user namespaces: unshare --user --map-root-user --mount does not work here")
as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root can mount a small file system")


@pytest.fixture
def stranger(place: Place) -> Place:
    """A place of a uid without passwd entry, which respects the modes of files."""
    place.launcher = list(STRANGER)
    return place


def elsewhere(place: Place) -> None:
    """Set what the troubleshooting page says to set where no home can be written."""
    for name, variable in (("workspace", "JD_WORKSPACE_PATH"), ("cache", "JD_CACHE_PATH"),
                           ("servers", "JD_ACCESS_DIR")):
        place.environ[variable] = str(place.directory / name)
    place.workspace = place.directory / "server"


# ---- homes and users

@as_stranger
def test_a_uid_without_passwd_entry(stranger: Place) -> None:
    stranger.sweep()


@as_stranger
def test_a_uid_without_passwd_entry_and_without_home(stranger: Place) -> None:
    home = stranger.environ.pop("HOME")
    for done in (stranger.cli("worker-list"), stranger.work("127.0.0.1:9")):
        refused(done, "no home directory", "54321", "JD_WORKSPACE_PATH", status=2)
    refused(stranger.run("jd_server", "--expId", EXPERIMENT, "--port", 0), "no home directory",
            "workspace_path", status=2)
    refused(stranger.run("jd_hub", "user", "list"), "no home directory", status=2)
    assert os.listdir(home) == []
    elsewhere(stranger)
    stranger.sweep()


@as_another_root
@pytest.mark.parametrize("home", [None, ""])
def test_home_unset(place: Place, home: Optional[str]) -> None:
    """The password database knows a home; here it says one of the test's."""
    known = place.directory / "known"
    known.mkdir(mode=0o700)
    (place.directory / "passwd").write_text("root:x:0:0:root:%s:/bin/sh\n" % known)
    place.launcher = ANOTHER_ROOT + ["sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"',
                                     str(place.directory / "passwd")]
    place.environ.pop("HOME")
    if home is not None:
        place.environ["HOME"] = home
    elsewhere(place)
    place.sweep()
    assert os.listdir(str(known)) == [".jd"]  # the key for checkpoints


def test_a_home_that_is_no_absolute_path(place: Place) -> None:
    place.environ["HOME"] = "relative/home"
    elsewhere(place)
    place.sweep()


@as_stranger
def test_a_home_that_cannot_be_written(stranger: Place) -> None:
    home = Path(stranger.environ["HOME"])
    home.chmod(0o500)
    try:
        refused(stranger.work("127.0.0.1:9"), str(home), "Permission denied")
        refused(stranger.cli("entry_script=train.py", "server=127.0.0.1:9"), str(home),
                "Permission denied")
        refused(stranger.run("jd_server", "--expId", EXPERIMENT, "--port", 0), str(home),
                "Permission denied", "--workspace_path")
        refused(stranger.run("jd_hub", "user", "list"), str(home))
        assert os.listdir(str(home)) == []
        clean(stranger.cli("worker-list"))
        elsewhere(stranger)
        stranger.sweep()
        assert os.listdir(str(home)) == []
    finally:
        home.chmod(0o700)


@as_stranger
def test_a_home_that_cannot_even_be_read(stranger: Place) -> None:
    home = Path(stranger.environ["HOME"])
    home.chmod(0o000)
    try:
        refused(stranger.work("127.0.0.1:9"), str(home), "Permission denied")
        elsewhere(stranger)
        stranger.sweep()
    finally:
        home.chmod(0o700)


def test_a_home_that_is_a_file(place: Place) -> None:
    place.environ["HOME"] = str(place.script)
    refused(place.work("127.0.0.1:9"), str(place.script), "JD_CACHE_PATH")
    refused(place.run("jd_server", "--expId", EXPERIMENT, "--port", 0), str(place.script),
            "--workspace_path")
    assert place.script.read_text() == SCRIPT


# ---- temporary files

@pytest.mark.parametrize("temporary", ["gone", "file", "unwritable"])
def test_a_tmpdir_that_cannot_be_used(place: Place, temporary: str) -> None:
    path = place.directory / temporary
    if temporary == "file":
        path.write_text("")
    elif temporary == "unwritable":
        path.mkdir(mode=0o500)
    place.environ["TMPDIR"] = str(path)
    place.sweep()


# ---- installations

@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installation without bytecode that nobody but root can write."""
    venv = tmp_path_factory.mktemp("sealed") / "venv"
    python = install(venv)
    for cache in list(venv.rglob("__pycache__")):
        shutil.rmtree(str(cache))
    paths = [venv] + [path for path in venv.rglob("*") if not path.is_symlink()]
    modes = [(path, path.stat().st_mode) for path in paths]
    for path, mode in modes:
        path.chmod(mode & ~0o222)
    yield python
    for path, mode in modes:
        path.chmod(mode)


@as_stranger
def test_an_installation_that_cannot_be_written(sealed: Path, tmp_path: Path) -> None:
    with Place(tmp_path, sealed) as place:
        place.launcher = list(STRANGER)
        place.sweep()
        refused(place.finish(place.launcher + place.python + ["-m", "jd.dist.install"],
                             PYTHONPATH=str(Path(__file__).parents[2])), "cannot install into")
    assert list(sealed.parents[1].rglob("__pycache__")) == []


# ---- names

NAMES = ["-dash co:lon", "it's \"quoted\"", "$HOME `id` $(id) ;&|", "new\nline\ttab\a",
         "per%cent %s back\\slash", "a" * 200, "grüße-日本語-🚀"]


def test_a_directory_of_any_name(tmp_path: Path, installed: Path) -> None:
    """Home, server, workspace, cache, logs, script and current directory are in it."""
    directory = tmp_path.joinpath(*NAMES)
    directory.mkdir(parents=True)
    with Place(directory, installed) as place:
        place.sweep()


def test_a_directory_whose_name_is_not_utf_8(tmp_path: Path, installed: Path) -> None:
    directory = os.path.join(os.fsencode(str(tmp_path)), b"latin-\xe9")
    os.mkdir(directory)
    with Place(Path(os.fsdecode(directory)), installed) as place:
        place.sweep()


@pytest.mark.parametrize("environ", [{"LC_ALL": "C"}, {
    "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=["C", "ASCII"])
def test_a_directory_beyond_the_locale(tmp_path: Path, installed: Path, environ: Dict[str, str]) -> None:
    directory = tmp_path / "grüße-日本語"
    directory.mkdir()
    with Place(directory, installed) as place:
        place.environ.update(environ)
        place.sweep()


@pytest.mark.parametrize("name", ["it's \"quoted\" $HOME", "grüße-日本語-🚀"])
def test_an_installation_of_any_name(tmp_path: Path, name: str) -> None:
    """Its commands are run as they are, by the first line of their files."""
    (tmp_path / name).mkdir()
    with Place(tmp_path / name, install(tmp_path / name / "venv")) as place:
        place.python = []
        place.sweep()


# ---- umask

@pytest.mark.parametrize("mask", [0o077, 0o000, 0o027])
def test_umask(place: Place, mask: int) -> None:
    place.launcher = ["sh", "-c", 'umask %03o; exec "$@"' % mask, "sh"]
    server = place.serve()
    place.url(server)
    assert (place.data / "meta" / "server.json").stat().st_mode & 0o022 == 0
    # The registry is there while a worker is.
    place.script.write_text(place.script.read_text() + (
        "import os\nregistry = os.path.expanduser('~/.jd_cache/.cache/%s/workers.db')\n"
        "os.mkdir('modes-%%o' %% (os.stat(registry).st_mode & 0o777))\n" % EXPERIMENT))
    clean(place.work(place.url(server)))
    assert (place.directory / "modes-600").is_dir()
    kept = [path for path in Path(place.environ["HOME"]).rglob("*") if path.is_file()]
    databases = [path for path in kept if path.name.startswith("jobs.db")]
    assert databases and [path for path in databases if path.stat().st_mode & 0o007] == []


# ---- full disks

@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB: an empty database and its journal take half of one."""
    point = tmp_path / "small"
    point.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(point)]).returncode != 0:
        pytest.skip("this root may not mount a small file system")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def fill(directory: Path) -> Path:
    """Take every byte that is left."""
    filler = directory / "filler"
    with open(str(filler), "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 1024):
                pass
        except OSError:
            pass
    return filler


@as_root
def test_a_server_on_a_full_disk_starts_with_a_clear_error(place: Place, small: Path) -> None:
    fill(small)
    place.workspace = small / "server"
    server = place.serve()
    assert server.wait(TIMEOUT) == 1
    (line,) = wrong(place.said("server.err"))
    assert line.startswith("error: ") and str(small) in line and "disk is full" in line


@as_root
def test_a_worker_on_a_full_disk(place: Place, small: Path) -> None:
    """No registry, no worker; when there is room, the jobs are still there."""
    url = place.url(place.serve())
    filler = fill(small)
    place.environ["JD_CACHE_PATH"] = str(small / "cache")
    for more in ([], ["foreground=true"]):
        refused(place.cli("entry_script=train.py", "server=" + url, "once=true", *more), str(small))
    assert place.counts(url) == {"PENDING": 2}
    filler.unlink()
    clean(place.work(url))
    assert place.counts(url) == {"DONE": 1, "PENDING": 1}


@as_root
def test_a_workspace_that_fills_up_during_a_job(place: Place, small: Path) -> None:
    """The worker's log, the job's directory and the outbox have no room: the result still arrives."""
    place.environ.update(JD_WORKSPACE_PATH=str(small / "work"), JD_CACHE_PATH=str(small / "cache"))
    place.script.write_text(
        "import sys\nfrom jd import jd_job_dir\n"
        "try:\n"
        "    with open(jd_job_dir() / 'all', 'wb', buffering=0) as f:\n"
        "        while f.write(b'x' * 512): pass\n"
        "except OSError as error:\n"
        "    print(error, flush=True)\n"
        "print('y' * 100000)\n"
        "sys.exit(3)\n")
    url = place.url(place.serve("--max-attempts", 1))
    done = place.work(url)
    assert "Traceback" not in done.stderr + done.stdout, done
    assert "No space left on device" in done.stdout
    assert place.counts(url) == {"ABORTED": 1, "PENDING": 1}


@as_root
def test_a_server_whose_disk_fills_up(place: Place, small: Path) -> None:
    """What was accepted stays; workers wait, and go on when there is room again."""
    place.workspace = small / "server"
    server = place.serve()
    url = place.url(server)
    clean(place.work(url))
    filler = fill(small)
    with open(str(place.directory / "worker.out"), "wb") as out:
        worker = place.start((out, out), "jd_worker_cli", "expId=" + EXPERIMENT, "entry_script=train.py",
                             "server=" + url, "once=true", "foreground=true")
    wait_until(lambda: "full" in place.said("worker.out"), TIMEOUT, "the worker hears of it")
    assert place.counts(url) == {"DONE": 1, "PENDING": 1}
    filler.unlink()
    assert worker.wait(TIMEOUT) == 0
    assert place.counts(url) == {"DONE": 2} and place.results() == [{"square": 9}, {"square": 16}]
    server.terminate()
    assert server.wait(TIMEOUT) == 0
    lines = place.said("server.err").splitlines()
    assert lines and [line for line in lines if "disk is full" not in line] == []


@as_root
def test_an_upload_that_the_servers_disk_has_no_room_for(place: Place, small: Path) -> None:
    """The script gets an error that says so, and the job is not done; the file is still there."""
    place.workspace = small / "server"
    url = place.url(place.serve("--max-attempts", 1))
    big = place.directory / "big.bin"
    place.script.write_text("from jd import jd_upload\njd_upload('big.bin')\n")
    big.write_bytes(bytes(2_000_000))
    done = place.work(url, JD_UPLOAD_MAX_RETRIES="1")
    assert done.returncode == 1 and wrong(done.stderr) == [], done
    assert "No space left on device" in done.stdout and str(big) in done.stdout, done
    assert place.counts(url) == {"ABORTED": 1, "PENDING": 1}
    assert big.stat().st_size == 2_000_000
    place.script.write_text(SCRIPT)
    clean(place.work(url))
    assert place.counts(url) == {"ABORTED": 1, "DONE": 1}
