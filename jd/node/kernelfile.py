"""Reading what the kernel makes as it is read: files of /proc and /sys (proc(5)).

These are short, have no size and are read for each job, so they take no more system calls than they need.
"""

import os

_PIECE = 16 * 1024


def content(path: str, limit: int = 1024 * 1024) -> bytes:
    """At most `limit` bytes of it. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = b""
        while len(found) < limit:
            piece = os.read(handle, min(_PIECE, limit - len(found)))
            if not piece:
                break
            found += piece
        return found
    finally:
        os.close(handle)
