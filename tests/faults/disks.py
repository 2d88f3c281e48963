"""Disks that become full or read-only: a small file system in memory for each, where root may mount one."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import List

SIZE = "64m"
ROOM = 1 << 20


def can_mount() -> bool:
    """Whether disks can be mounted here."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as place:
        if _run("mount", "-t", "tmpfs", "-o", "size=1m", "none", place) != 0:
            return False
        return _run("umount", place) == 0


class Disk:
    """A disk at a directory that is there; for `with`. Without `real` it is the directory as it is, and no
    fault can happen to it."""

    def __init__(self, path: Path, real: bool) -> None:
        self.path = path
        self._real = real
        self._covered: List[Path] = []

    def __enter__(self) -> "Disk":
        if self._real:
            assert _run("mount", "-t", "tmpfs", "-o", "mode=755,size=" + SIZE, "none", str(self.path)) == 0
        return self

    def __exit__(self, *_: object) -> None:
        """What was on it goes to the directory below it, for whoever looks into a run that failed."""
        self.writable()
        if self._real:
            kept = self.path.with_name(self.path.name + ".kept")
            self.relieved()
            _run("cp", "-a", str(self.path), str(kept))
            _run("umount", "-l", str(self.path))
            self.path.rmdir()
            if kept.exists():
                kept.rename(self.path)

    def full(self) -> None:
        """Nothing more can be written."""
        with open(str(self._filler), "ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * ROOM)
            except OSError:
                pass
            try:
                while True:
                    file.write(b"\0")
            except OSError:
                pass

    def relieved(self) -> None:
        """There is room again."""
        if self._filler.exists():
            self._filler.unlink()

    def read_only(self) -> None:
        """Nothing can be made in the directories on it. What is open for writing stays so: the kernel cannot
        take that away."""
        for directory in sorted(path for path in self.path.iterdir() if path.is_dir()):
            place = str(directory)
            if _run("mount", "--bind", place, place) == 0:
                self._covered.append(directory)
                _run("mount", "-o", "remount,bind,ro", place)

    def writable(self) -> None:
        """It is as before."""
        while self._covered:
            _run("umount", "-l", str(self._covered.pop()))

    @property
    def _filler(self) -> Path:
        return self.path / ".filler"


def _run(*words: str) -> int:
    return subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
