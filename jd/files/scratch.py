"""Temporary files that nobody wants any more when a block ends, however it ends."""

from contextlib import contextmanager
from typing import BinaryIO, Iterator


@contextmanager
def closing(file: BinaryIO) -> Iterator[BinaryIO]:
    """Close a file when the block ends; nothing is raised by that. What a full disk has refused is flushed
    once more then, and its second error would take the place of the one that says what went wrong."""
    try:
        yield file
    finally:
        close(file)


def close(file: BinaryIO) -> None:
    """The same for a file that is another one at the end than at first."""
    try:
        file.close()
    except OSError:
        pass
