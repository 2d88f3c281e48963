"""Commands that cannot reach anything but their own loopback: a network namespace of Linux.

Run as a program it is the first in a new namespace: it switches loopback on, and becomes the command.
"""

import functools
import os
import shutil
import socket
import struct
import subprocess
import sys
from typing import List

_SIOCSIFFLAGS = 0x8914  # netdevice(7)
_UP_AND_RUNNING = 0x1 | 0x40


@functools.lru_cache(maxsize=None)
def prefix() -> List[str]:
    """What to put before a command; empty where no such namespace can be had.

    All processes of the command end with it: they have a pid namespace of their own.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    for user in ([], ["--user", "--map-root-user"]):
        words = [unshare, *user, "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                 sys.executable, os.path.abspath(__file__)]
        done = subprocess.run(words + ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=60, check=False)
        if done.returncode == 0:
            return words
    return []


def main() -> None:
    """Bring loopback up and become the command of the arguments."""
    import fcntl
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        fcntl.ioctl(anything, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
