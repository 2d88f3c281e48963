"""The `ssh -L` line that brings the dashboard of a server on a cluster's node to a laptop."""

import re
from typing import Mapping, Optional

from jd.net.addresses import ANY, is_loopback, reachable_name
from jd.node import scheduler

_SUBMITTED_FROM = ("SLURM_SUBMIT_HOST", "PBS_O_HOST", "LSB_SUB_HOST", "SGE_O_HOST")
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,252}")


def command(host: str, port: int, node: str, environ: Mapping[str, str]) -> Optional[str]:
    """What to type on a laptop for a dashboard that listens on `host`; None where we run neither in a
    scheduler's job nor in a session over SSH, or in a pod. `node` is this machine's name.

    LOGIN stands for the login node where no variable tells it.
    """
    allocation = scheduler.detect(environ)
    if allocation is None and not environ.get("SSH_CONNECTION"):
        return None
    if allocation is not None and allocation.scheduler == scheduler.KUBERNETES or not _NAME.fullmatch(node):
        return None
    inside = is_loopback(host)
    own = "127.0.0.1" if host in ANY else reachable_name(host)
    if allocation is None:  # this is the machine to which people have signed in
        return "ssh -L %d:%s:%d %s" % (port, own, port, node)
    told = (environ.get(name, "").strip() for name in _SUBMITTED_FROM)
    login = next((name for name in told if _NAME.fullmatch(name) and name != node), None)
    if inside:
        way = node if login is None else "-J %s %s" % (login, node)
        return "ssh -L %d:%s:%d %s" % (port, own, port, way)
    return "ssh -L %d:%s:%d %s" % (port, node if host in ANY else own, port, login or "LOGIN")
