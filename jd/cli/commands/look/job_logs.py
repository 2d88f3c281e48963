"""`jd_worker_cli expId=... job-logs <job>`: what a job has printed, from the server."""

import json
import sys
import time
from typing import Optional

from jd.cli.commands.look.worker_logs import wait_for_reader
from jd.cli.context import Context
from jd.cli.sweep import driving
from jd.cli.sweep.joboutput import JobOutput, Part
from jd.errors import EXIT_FAILURE, EXIT_OK, JdError, ServerRefused, ServerUnreachable, UsageError
from jd.net.retry import Backoff, is_temporary
from jd.protocol import PENDING, SERVED
from jd.terminal import silence_stdout

POLL = 2.0  # seconds between looks, as often as a worker sends what is new while somebody looks
PATIENCE = 600.0  # seconds that a server may be away while output is followed


def run(context: Context) -> int:
    """Print or follow the output of an attempt. Ctrl-C and a reader that leaves are no errors."""
    context.words_exactly(1)
    (job_id,) = driving.job_ids(context)
    follow = context.values["follow"]
    if follow and context.values["json"]:
        raise UsageError("follow=true and json=true do not go together: the JSON is one object, at the end",
                         "leave one of them out")
    output = JobOutput(context.client(), job_id, context.values["attempt"])
    lines: Optional[int] = context.values["lines"] if "lines" in context.arguments else None
    first = output.part(0) if lines is None else output.last_lines(lines)
    sys.stdout.flush()
    try:
        if context.values["json"]:
            return _print_json(output, job_id, first)
        return _print(output, job_id, first, follow)
    except KeyboardInterrupt:
        if not follow:
            raise
    except BrokenPipeError:
        silence_stdout()
    return EXIT_OK


def _print_json(output: JobOutput, job_id: int, first: Part) -> int:
    parts, text = list(output.parts(first)), ""
    for part in parts:
        text += part.after(text)
    print(json.dumps({
        "job_id": job_id, "status": first.status, "attempt": first.attempt, "running": parts[-1].running,
        "size": parts[-1].size, "offset": first.offset, "tail_only": first.tail_only,
        "left_out": sum(part.left_out for part in parts), "output": text}))
    return EXIT_OK if first.attempt is not None else EXIT_FAILURE


def _print(output: JobOutput, job_id: int, first: Part, follow: bool) -> int:
    part, before, away = first, "", _Away(output)
    if part.attempt is None:
        if not follow or part.status not in (PENDING, SERVED):
            raise JdError("job %d has printed nothing: no worker has run it, it is %s" % (
                job_id, part.status))
        _say("job %d has not run yet, it is %s; waiting for it" % (job_id, part.status))
    while True:
        if part.output:
            sys.stdout.buffer.write(part.after(before).encode("utf-8"))
            sys.stdout.buffer.flush()
            before = part.output
        if part.tail_only:
            _say("these are only the last lines: the worker of attempt %d does not send more%s" % (
                part.attempt or 0, ", so it cannot be followed" if follow and part.running else ""))
            return EXIT_OK
        more = part.output != "" and part.next < part.size
        if not more:
            if not follow or part.attempt is not None and not part.running:
                break
            wait_for_reader(POLL, sys.stdout.fileno())
        part = away.part(part.next)
    if not before and not part.size:
        _say("attempt %d of job %d has printed nothing%s" % (
            part.attempt or 0, job_id, " yet" if part.running else ""))
    elif follow:
        _say("attempt %d of job %d has ended; that was its output" % (part.attempt or 0, job_id))
    return EXIT_OK


class _Away:
    """Asks for parts, and again for a while where the server does not answer: it may be restarted."""

    def __init__(self, output: JobOutput) -> None:
        self._output = output

    def part(self, offset: int) -> Part:
        """As JobOutput.part."""
        pauses, until, told = Backoff(POLL, 15.0), time.monotonic() + PATIENCE, False
        while True:
            try:
                return self._output.part(offset)
            except (ServerUnreachable, ServerRefused) as error:
                if not is_temporary(error) or time.monotonic() > until:
                    raise
                if not told:
                    _say("%s; trying again for %d minutes" % (error, PATIENCE // 60))
                    told = True
            wait_for_reader(pauses.next(), sys.stdout.fileno())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
