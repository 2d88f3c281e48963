"""What `pause` and `resume` share: whether the server of a sweep hands out jobs."""

from jd import protocol
from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.sweep import driving
from jd.errors import EXIT_OK


def set_paused(context: Context, paused: bool, done: str) -> int:
    """Have the server hand out jobs or not; `done` says what that means. Raises NotOffered."""
    context.words_exactly(0)
    session = driving.begin(context)
    session.want(protocol.EXT_DRIVE, "pause a sweep")
    told = session.call("POST", protocol.SWEEP, {"paused": paused})
    views.emit(context, told, ["%s %s" % (context.experiment, done)])
    return EXIT_OK
