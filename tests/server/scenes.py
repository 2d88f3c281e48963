"""Scenarios: coroutine functions that get a bench, which is made in their loop and closed after them."""

import asyncio
from typing import Any, Awaitable, Callable, Protocol, TypeVar


class Closing(Protocol):
    def close(self) -> None:
        """Let go of what it holds."""


B = TypeVar("B", bound=Closing)


def play(make: Callable[[], B], scenario: Callable[[B], Awaitable[Any]], seconds: float = 20) -> None:
    """Await a scenario on a new bench, for so long at most."""
    async def main() -> None:
        bench = make()
        try:
            await asyncio.wait_for(scenario(bench), seconds)
        finally:
            bench.close()
    asyncio.run(main())
