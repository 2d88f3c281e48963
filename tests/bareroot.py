"""A bare Debian with python3, made by debootstrap once in a test session, and programs run in it.

    from tests.bareroot import bare_root, copy_root, needs_bare_root, run_in

    @needs_bare_root
    def test_something(bare_root: Path, tmp_path: Path) -> None:
        root = copy_root(bare_root, tmp_path / "root")       # bare_root itself is for reading only
        assert run_in(root, ["python3", "--version"]).returncode == 0

What runs in a root has mount and process namespaces of its own: no mount is left on this machine,
and nothing outlives the process that `enter` starts. BARE_ROOT names a root that is there already.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import pytest

from tests.support import program, wait_until

PACKAGES = ("python3", "ca-certificates", "tini")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = ("debootstrap", "unshare", "nsenter", "mount", "chroot")
_MIRROR = ("http://deb.debian.org/debian", "bookworm")

# $1 root, $2 rw or ro, $3 user and group, $4 directory, then mounts up to "--", then the command.
# Mounts go into a namespace of their own; what `exec` leaves is process 1 of another.
_ENTER = """
set -eu
root=$1 mode=$2 user=$3 directory=$4
shift 4
/usr/bin/mount --bind "$root" "$root"
/usr/bin/mount -t proc proc "$root/proc"
/usr/bin/mount --bind /dev "$root/dev"
while [ "$1" != -- ]; do
  if [ "$1" = tmpfs ]; then /usr/bin/mount -t tmpfs -o mode=1777 tmpfs "$root$2"
  else /usr/bin/mount --bind "$1" "$root$2"; fi
  shift 2
done
shift
[ "$mode" = rw ] || /usr/bin/mount -o remount,bind,ro "$root"
exec /usr/sbin/chroot --userspec="$user" --groups= "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
"""

# Loopback of a new network namespace, without iproute2 (netdevice(7)).
_LOOPBACK_UP = """
import fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))
print("up", flush=True)
sys.stdin.read()
"""


def why_no_root() -> str:
    """Why there can be no bare root here, or an empty string."""
    missing = [name for name in _PROGRAMS if program(name) is None
               and not (name == "debootstrap" and os.environ.get("BARE_ROOT"))]
    if missing:
        return "no bare root: %s is not installed (Debian: debootstrap)" % missing[0]
    if os.geteuid() != 0:
        return "no bare root: debootstrap and chroot need root"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if tried.returncode:
        return "no bare root: no namespaces here (%s)" % tried.stderr.decode().strip()
    return ""


_why = why_no_root()
needs_bare_root = pytest.mark.skipif(bool(_why), reason=_why)

_made: Dict[str, Path] = {}


@pytest.fixture(scope="session")
def bare_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root directory of a bare Debian with PACKAGES, for reading only.

    Skips, with the reason, where it cannot be made. Modules that import this fixture share one.
    """
    given = os.environ.get("BARE_ROOT")
    if given:
        yield Path(given)
        return
    base = str(tmp_path_factory.getbasetemp())
    if base not in _made:
        _made[base] = make_root(tmp_path_factory.mktemp("bare") / "root")
    yield _made[base]
    # Fixtures of a session end together, so nobody uses it any more. pytest would keep 200 MB.
    for root in [_made.pop(key) for key in list(_made)]:
        shutil.rmtree(str(root), ignore_errors=True)


def _mirror() -> Tuple[str, str]:
    """Where this machine has its Debian from, and which: (URL, code name)."""
    try:
        told = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE) $(REPO_URI) $(CODENAME)",
                               "Identifier: Packages", "Origin: Debian", "Component: main"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    except OSError:
        return _MIRROR
    for line in told.splitlines():
        _, url, name = line.split(" ")
        if name.isalpha():  # without -updates and -security
            return url, name
    return _MIRROR


def make_root(root: Path, packages: Sequence[str] = PACKAGES) -> Path:
    """Install Debian with `packages` into a new directory; skips the test where that cannot be done."""
    url, name = _mirror()
    # In a mount namespace, so that a debootstrap that is killed leaves no /proc mounted.
    done = subprocess.run(
        ["unshare", "--mount", "debootstrap", "--variant=minbase", "--include=" + ",".join(packages),
         name, str(root), url],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        env={"PATH": PATH, "LC_ALL": "C"})
    if done.returncode:
        shutil.rmtree(str(root), ignore_errors=True)
        pytest.skip("no bare root: debootstrap of %s from %s failed: %s" % (
            name, url, (done.stdout.decode(errors="replace").strip().splitlines() or ["?"])[-1]))
    for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"):
        for path in (root / waste).glob("*"):
            shutil.rmtree(str(path)) if path.is_dir() and not path.is_symlink() else path.unlink()
    return root


def copy_root(root: Path, to: Path) -> Path:
    """A copy to write in, about 150 MB; `to` must not exist."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(root), str(to)], check=True)
    return to


# ---- running

def enter(root: Path, argv: Sequence[Any], *, env: Optional[Mapping[str, str]] = None,
          user: str = "0:0", cwd: str = "/", read_only: bool = False,
          binds: Optional[Mapping[Path, str]] = None, tmpfs: Sequence[str] = (),
          network: Optional["Network"] = None, **popen: Any) -> "subprocess.Popen[bytes]":
    """Start a program as process 1 of its own in `root`. What it starts dies with it.

    `env` is its whole environment (default: PATH alone), `user` is UID:GID in numbers; `read_only`
    leaves only `binds` (directory here → directory there) and `tmpfs` to be written. Without
    `network` it has this machine's. `popen` goes to Popen.
    """
    mounts = [word for here, there in (binds or {}).items() for word in (str(here), there)]
    mounts += [word for there in tmpfs for word in ("tmpfs", there)]
    command = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", _ENTER,
               "enter", str(root), "ro" if read_only else "rw", user, cwd] + mounts + ["--"]
    if network is not None:
        command = network.command + command
    popen.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(command + [str(word) for word in argv],
                            env=dict({"PATH": PATH}, **(env or {})), **popen)


def run_in(root: Path, argv: Sequence[Any], timeout: float = 120,
           **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a program in `root` to its end; `options` as for `enter`. Its output is text."""
    process = enter(root, argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        end(process)
        raise
    return subprocess.CompletedProcess(list(argv), process.returncode, out.decode(errors="replace"),
                                       err.decode(errors="replace"))


def first_process(process: "subprocess.Popen[bytes]") -> int:
    """The pid, as seen from here, of what `enter` started, once it is in its root: for signals, as
    `docker stop` sends them, and for nsenter. Raises AssertionError if it has ended."""
    def look() -> Optional[int]:
        assert process.poll() is None, "it has ended with status %s" % process.returncode
        try:
            children = Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text().split()
            # Until it has changed its root its mounts are not all there.
            entered = children and os.readlink("/proc/%s/root" % children[0]) != "/"
            return int(children[0]) if entered else None
        except OSError:
            return None
    found: int = wait_until(look, message="a process in its root")
    return found


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill what `enter` started, with everything in it."""
    # Not left to --kill-child: a process that changes its user loses its parent-death signal (prctl(2)).
    try:
        for child in Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text().split():
            os.kill(int(child), signal.SIGKILL)  # process 1: its namespace follows
    except OSError:  # it has ended
        pass
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


class Network:
    """A network namespace that has a loopback of its own and nothing else, while the `with` block lasts."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-I", "-c", _LOOPBACK_UP],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"up\n":
            self.close()
            raise AssertionError("no network namespace")

    @property
    def command(self) -> List[str]:
        """What to put before a command that is to run in it."""
        return ["/usr/bin/nsenter", "--net=/proc/%d/ns/net" % self._holder.pid]

    def close(self) -> None:
        """Let it go; what runs in it keeps it for itself."""
        self._holder.communicate()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
