"""A bare Debian in a directory, with python3 and nothing else, and commands in it without a network."""

import subprocess
from pathlib import Path

from tests import bareroot
from tests.airgap import offline


def why_not() -> str:
    """Why no root can be made or entered here; empty if it can."""
    return bareroot.why_no_root() or (
        "" if offline.prefix() else "no network namespace: unshare is missing, or is not allowed here")


def make_root(root: Path) -> None:
    """Install Debian into `root`; skips the test where it cannot be downloaded."""
    bareroot.make_root(root, ("python3",))


def run_inside(root: Path, script: str, timeout: float) -> str:
    """Run commands in the root, without a network, from /root; what they printed.

    Its mounts and processes end with it.
    """
    enter = 'mount -t proc proc "$1/proc" && exec chroot "$1" /usr/bin/env -i HOME=/root ' \
            'PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -eux -c "cd; $2"'
    done = subprocess.run(
        offline.prefix() + ["sh", "-c", enter, "sh", str(root), script], timeout=timeout, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said
    return said
