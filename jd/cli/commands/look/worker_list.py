"""`jd_worker_cli expId=... worker-list`."""

from __future__ import annotations

import time

from jd.cli.context import Context
from jd.cli.showing import facts, views
from jd.cli.showing.views import Seen


def run(context: Context) -> int:
    """List the workers of an experiment (reference, section 2)."""
    context.words_exactly(0)

    def fetch() -> list[Seen]:
        return views.look(context.registry, context.here)

    def draw(workers: list[Seen], columns: int | None) -> list[str]:
        if not workers:
            text = ("no workers of %s here; start some: jd_worker_cli expId=%s "
                    "entry_script=<path> num_workers=4" % (context.experiment, context.experiment))
            if columns is None:
                return [text]
            import textwrap
            return textwrap.wrap(text, columns)
        return views.worker_lines(workers, context.here, time.time(), columns)

    return facts.present(context, fetch, draw,
                        lambda workers: [views.worker_json(seen, time.time()) for seen in workers])
