"""The images, built by buildah without any network, and containers of them in namespaces."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import pytest

from tests.bareroot import PATH, Network, bare_root, end, enter, first_process
from tests.support import ROOT

__all__ = ["bare_root", "images"]

needs_buildah = pytest.mark.skipif(shutil.which("buildah") is None,
                                   reason="buildah is not installed (Debian: buildah)")
TARGETS = ("worker", "server", "hub")
BASE = "localhost/jd-test-base"


class Image(NamedTuple):
    """One image: its files at `root`, and its configuration as an engine reads it."""

    name: str
    root: Path
    config: Dict[str, Any]

    @property
    def command(self) -> List[str]:
        """What runs where no arguments are given."""
        return list(self.config["Entrypoint"]) + list(self.config.get("Cmd") or [])

    def with_arguments(self, arguments: Sequence[str]) -> List[str]:
        """What runs with these arguments, which take the place of CMD."""
        return list(self.config["Entrypoint"]) + list(arguments) if arguments else self.command

    @property
    def environ(self) -> Dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    @property
    def health(self) -> List[str]:
        """The command of HEALTHCHECK."""
        assert self.config["Healthcheck"]["Test"][0] == "CMD"
        return list(self.config["Healthcheck"]["Test"][1:])


class Buildah:
    """buildah with a storage of its own, everything below `directory`.

    Each call has a mount namespace of its own, so that no mount of its storage is left behind.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        (directory / "tmp").mkdir(parents=True)
        self._driver = "overlay"
        if self._run(["info"]).returncode:  # an overlay on an overlay, in some containers
            self._driver = "vfs"

    def command(self, arguments: Sequence[Any], network: Optional[Network] = None) -> List[str]:
        """A command line; with a `network` what it starts dies with it."""
        unshare = ["unshare", "--mount"]
        if network is not None:
            unshare = network.command + unshare + ["--pid", "--fork", "--kill-child", "--mount-proc"]
        return unshare + ["buildah", "--root", str(self._directory / "storage"), "--runroot",
                          str(self._directory / "run"), "--storage-driver", self._driver] + [
                              str(word) for word in arguments]

    @property
    def environ(self) -> Dict[str, str]:
        return {"PATH": PATH, "HOME": str(self._directory), "TMPDIR": str(self._directory / "tmp"),
                "BUILDAH_ISOLATION": "chroot"}

    def _run(self, arguments: Sequence[Any],
             before: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(list(before) + self.command(arguments), env=self.environ,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)

    def __call__(self, *arguments: Any, before: Sequence[str] = ()) -> str:
        """What it printed. Raises AssertionError with what it complained of."""
        done = self._run(arguments, before)
        assert done.returncode == 0, "buildah %s: %s" % (arguments[0], done.stdout + done.stderr)
        return done.stdout.strip()

    def base(self, root: Path) -> None:
        """Commit a root directory as BASE, with nothing set."""
        container = self("from", "scratch")
        self("copy", "-q", container, root, "/")
        self("commit", "-q", "--rm", container, BASE)

    def extract(self, name: str, to: Path) -> Image:
        """Copy the files of an image out."""
        container = self("from", "localhost/" + name)
        line = subprocess.list2cmdline(self.command(["mount", container])[2:])
        subprocess.run(["unshare", "--mount", "sh", "-c", 'cp -a "$(%s)" "$0"' % line, str(to)],
                       env=self.environ, check=True)
        inspected = json.loads(self("inspect", "--type", "image", name))
        return Image(name, to, inspected["Docker"]["config"])


class Images(NamedTuple):
    """The three images, and the buildah that has them."""

    buildah: Buildah
    worker: Image
    server: Image
    hub: Image


@pytest.fixture(scope="session")
def images(bare_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """All images over a bare Debian, built where no network is."""
    directory = tmp_path_factory.mktemp("images")
    buildah = Buildah(directory / "buildah")
    buildah.base(bare_root)
    built = []
    for target in TARGETS:
        # In the order of docker/build.sh; --layers: the stages that they share are built once.
        buildah("bud", "--format", "docker", "--layers", "-f", "docker/Dockerfile", "--target", target,
                "--build-arg", "BASE=" + BASE, "--build-arg", "VERSION=1.2.3", "-t", "jd-" + target,
                str(ROOT), before=["unshare", "--net"])
        built.append(buildah.extract("jd-" + target, directory / target))
    yield Images(buildah, *built)
    shutil.rmtree(str(directory), ignore_errors=True)


class Container:
    """A container of an image, process 1 of its namespace. Gone when the `with` block ends."""

    def __init__(self, image: Image, output: Path, arguments: Sequence[str] = (), *,
                 environ: Optional[Mapping[str, str]] = None, **options: Any) -> None:
        self._image = image
        self._options = dict(options, cwd=image.config["WorkingDir"],
                             env=dict(image.environ, **(environ or {})))
        self._options.setdefault("user", image.config["User"])
        (image.root / ".dockerenv").touch()  # as docker does
        self.output = output
        with open(str(output), "ab") as stream:
            self.popen = enter(image.root, image.with_arguments(arguments), stdout=stream, stderr=stream,
                               **self._options)

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *_: Any) -> None:
        end(self.popen)

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text(errors="replace")

    @property
    def runs(self) -> bool:
        return self.popen.poll() is None

    @property
    def pid(self) -> int:
        """Of its process 1, as seen from here."""
        return first_process(self.popen)

    def stop(self, number: int, timeout: float = 30) -> int:
        """Send a signal to its process 1; the exit status."""
        os.kill(self.pid, number)
        return self.popen.wait(timeout)

    def execute(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run another command in the same container, as HEALTHCHECK and `docker exec` do."""
        user, _, group = str(self._options["user"]).partition(":")
        inside = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--root", "--wd",
                  "--setuid=" + user, "--setgid=" + group]
        return subprocess.run(inside + list(command), env=self._options["env"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)

    def health(self) -> int:
        """The exit status of its HEALTHCHECK."""
        return self.execute(*self._image.health).returncode
