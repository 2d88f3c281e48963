"""Whether a request is meant for this server (docs/protocol.md, extension `experiment`).

Ports are reused and names are mistyped: a worker of another experiment must get no job here, and its
result must not be taken. A client that names no experiment is served, as the base protocol says.
"""

from typing import Optional

from jd.net.serving.routing import HttpError, Request
from jd.protocol import EXPERIMENT_HEADER, shown


def check_header(request: Request, experiment: str) -> None:
    """Raises HttpError (409), with the name of our experiment in the body, for another one's."""
    check(request.headers.get(EXPERIMENT_HEADER.lower()), experiment)


def check(wanted: Optional[str], experiment: str) -> None:
    """The same for a name; None stands for a client that gives none. Earlier versions of ours send the name
    as it was typed."""
    if wanted is not None and wanted.lower() != experiment.lower():
        raise HttpError(409, "this is the job server of experiment %s, not of %s; check expId= and server="
                        % (experiment, shown(wanted)), facts={"experiment": experiment})
