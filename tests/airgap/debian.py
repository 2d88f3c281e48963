"""A bare Debian in a directory: what debootstrap makes, with python3 and nothing else."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Tuple

import pytest

from tests.airgap import offline

_LONGEST = 900  # seconds; with a near mirror it takes one or two minutes


def why_not() -> str:
    """Why no root can be made or entered here; empty if it can."""
    if os.getuid() != 0:
        return "chroot needs root"
    for program in ("debootstrap", "apt-get", "chroot", "mount"):
        if shutil.which(program) is None:
            return "%s is not installed" % program
    return "" if offline.prefix() else "no network namespace: unshare is missing, or is not allowed here"


def mirror() -> Tuple[str, str]:
    """The archive and the release that this machine's apt is configured for. Raises LookupError."""
    lines = Path("/etc/os-release").read_text().splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line).get("VERSION_CODENAME", "")
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME) $(COMPONENT)", "Created-By: Packages"],
        stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode().split("\n")
    for line in listed:
        words = line.split()
        if words[1:] == [release.strip('"'), "main"]:
            return words[0], words[1]
    raise LookupError("apt has no source for the main component of %r" % release)


def make_root(root: Path) -> None:
    """Install Debian into `root`; skips the test where it cannot be downloaded."""
    try:
        site, release = mirror()
    except (LookupError, OSError, subprocess.SubprocessError) as error:
        pytest.skip("no mirror for debootstrap: %s" % error)
    # In a mount namespace, so that none of its mounts is left here.
    done = subprocess.run(
        ["unshare", "--mount", "debootstrap", "--variant=minbase", "--include=python3", release,
         str(root), site], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        timeout=_LONGEST, check=False, env={**os.environ, "TMPDIR": str(root.parent)})
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip().splitlines()
        pytest.skip("debootstrap could not make a root from %s: %s" % (site, said[-1:]))


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
