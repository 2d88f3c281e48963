"""Facts that a command shows: once, as lines or as JSON, or live."""

from __future__ import annotations

from jd.cli.showing import views
from jd.errors import EXIT_OK, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from jd.cli.context import Context
    from jd.cli.showing.live import Draw, Fetch, T


def present(context: Context, fetch: Fetch[T], draw: Draw[T], document: Callable[[T], Any]) -> int:
    """Show facts once, as lines or as JSON, or live where the command line has watch=true."""
    if not context.values["watch"]:
        facts = fetch()
        views.emit(context, document(facts) if context.values["json"] else None,
                   [] if context.values["json"] else draw(facts, views.width()))
        return EXIT_OK
    if context.values["json"]:
        raise UsageError("watch=true is for people, json=true for programs", "give one of them")
    from jd.cli.showing import live  # threads, signals and the terminal's settings, for who watches alone
    return live.watch(fetch, draw, "%s  %s" % (context.experiment, context.command.name))
