"""What published clients, which know no extensions, can be told besides the base.

Those from 1.23 on take some of their timing from heartbeat answers. Two habits of theirs are worth it: they
ask for a job once a minute while they wait, and after some six minutes of an outage they give up reporting
a result, which is lost then.
"""

import re

from jd.messages import HeartbeatReply

CONTROL_CHUNK = 10  # seconds between heartbeats while there is no job; theirs are 60
STATUS_RETRIES = 30  # tries, two minutes apart at last: 50 minutes; theirs are 8

_SINCE = (1, 23)
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?:\.|$)", re.ASCII)


def tuned(reply: HeartbeatReply, version: str) -> HeartbeatReply:
    """The reply to a client without `session` that calls itself `version`, with what it may take from it."""
    found = _VERSION.match(version)
    if found is None or (int(found.group(1)), int(found.group(2))) < _SINCE:
        return reply
    return reply._replace(control_chunk=CONTROL_CHUNK, status_retry_count=STATUS_RETRIES)
