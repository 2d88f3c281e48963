"""What is looked at again and again, beside the sweeper: leases do not wait for what may take long."""

import asyncio
import logging
from typing import Awaitable, Callable

from jd.threads import Reported

INTERVAL = 1.0  # seconds

log = logging.getLogger("jd.server")


async def regularly(look: Callable[[], Awaitable[None]], said: str) -> None:
    """Look for ever, with a pause between two looks. Whatever one meets, the next comes; `said` says what
    does not happen meanwhile."""
    trouble = Reported(said, log.warning)
    while True:
        with trouble:
            await look()
        await asyncio.sleep(INTERVAL)
