"""`jd_worker_cli doctor`: what would go wrong on this node, before a sweep does."""

import socket
from typing import List

from jd.cli.checkup import page
from jd.cli.checkup.examine import examine
from jd.cli.checkup.finding import PROBLEM, Finding, worst
from jd.cli.checkup.plan import groups
from jd.cli.context import Context
from jd.errors import EXIT_FAILURE, EXIT_OK


def run(context: Context) -> int:
    """Print the page, or with json=true one document; 1 if there is a problem, else 0."""
    context.words_exactly(0)
    quiet = bool(context.values["json"])
    columns = page.width()
    found: List[Finding] = []
    topic = None
    if not quiet:
        about = ", experiment %s" % context.experiment if context.experiment else ""
        print("checking %s%s" % (socket.gethostname() or "this node", about))
    for group, findings in examine(groups(context)):
        found += findings
        if findings and not quiet:
            heading = group.topic if group.topic != topic else None
            topic = group.topic
            print("\n".join(page.section(heading, findings, columns)), flush=True)
    if quiet:
        print(page.as_json(found))
    else:
        print("\n" + page.summary(found))
    return EXIT_FAILURE if worst(found) == PROBLEM else EXIT_OK
