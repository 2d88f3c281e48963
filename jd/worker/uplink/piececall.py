"""The call that brings a piece of what grows while a job runs, its output or its reports."""

from typing import Any, Dict, NamedTuple, Optional

from jd.fields import take_number, take_whole
from jd.net.client import UnusableAnswer
from jd.protocol import ProtocolError
from jd.script.context import JobContext

TIMEOUT = 15.0  # seconds; the end of a job waits for a piece that is under way


class Answer(NamedTuple):
    """How far the server has it, None where it does not say, and in how many seconds it wants more."""

    reach: Optional[int]
    every: float


def call(context: JobContext, route: str, body: Dict[str, Any], reach: str, every: float) -> Answer:
    """Send a piece; `reach` is the field of the answer that tells how far it is there, `every` what counts
    where the answer does not say. Raises ServerUnreachable, ServerRefused, UnusableAnswer."""
    client = context.client(TIMEOUT)
    answer = client.call("POST", route, body)
    try:
        if not isinstance(answer, dict):
            raise ProtocolError("no object")
        return Answer(take_whole(answer, reach, 0, 2 ** 53),
                      take_number(answer, "every", every, low=0.1, high=86400.0))
    except ProtocolError as error:
        raise UnusableAnswer("%s%s answered wrongly: %s" % (client.shown, route, error)) from None
