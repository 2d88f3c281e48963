"""The end of tasks of asyncio that run beside the requests."""

import asyncio
from typing import Any, Iterable, Optional


async def end(tasks: "Iterable[Optional[asyncio.Task[Any]]]") -> None:
    """Cancel tasks and wait until they have ended: nothing of them is left behind in the loop. None stands
    for one that was not begun. What they raise is for whoever watches them, and is not raised here."""
    begun = [task for task in tasks if task is not None and not task.done()]
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
