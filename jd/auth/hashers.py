"""Threads for hashing passwords and PINs, which is slow on purpose."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, TypeVar

T = TypeVar("T")

THREADS = 2  # each takes 32 MiB while it hashes


class Hashers:
    """A few threads of their own, so that many attempts to sign in keep nothing else waiting."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "password")

    async def run(self, hashing: Callable[[], T]) -> T:
        """What `hashing` returns, a call of `passwords` or `pins`, made in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, hashing)

    def close(self) -> None:
        """Wait for the threads to end: none may come into a loop that is closed."""
        self._threads.shutdown()
