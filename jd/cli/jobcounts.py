"""Asking a job server how many jobs have which status."""

from typing import Dict

from jd import protocol
from jd.errors import ServerRefused, ServerUnreachable
from jd.net.client import Client
from jd.net.finding import probe


def job_counts(client: Client) -> Dict[str, int]:
    """Jobs by status, in the order of a job's life.

    Raises ServerUnreachable or WrongPort where what answered is no job server, and what `Client.call`
    raises.
    """
    try:
        answer = client.call("GET", protocol.JOB_COUNTS)
    except ServerRefused as error:
        raise probe.explained(client, error) from error
    if not isinstance(answer, dict) or not all(
            isinstance(n, int) and not isinstance(n, bool) for n in answer.values()):
        raise ServerUnreachable("%s%s answered %s instead of job counts: it is no job server"
                                % (client.shown, protocol.JOB_COUNTS, protocol.shown(answer)),
                                "check the URL")
    known = [status for status in protocol.JOB_STATUSES_ALL if status in answer]
    return {status: answer[status] for status in known + sorted(set(answer) - set(known))}
