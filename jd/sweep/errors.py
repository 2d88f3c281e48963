"""The errors of this API. Each is a JdError, and of the kind that published clients raise in its place.

A program that was written for those catches RuntimeError, ValueError, TypeError, TimeoutError or, for what
its HTTP library raised, OSError. Of a file that is not there `jd.errors` has the kind.
"""

from contextlib import contextmanager
from typing import Iterator

from jd.errors import JdError, ServerRefused, ServerUnreachable, StorageError, UsageError
from jd.net.finding.probe import WrongPort


class NoSession(UsageError, RuntimeError):
    """A function was called before `jd.init()`, and it cannot do that by itself."""


class BadValue(UsageError, ValueError):
    """A value that cannot be used, or that is missing."""


class BadType(UsageError, TypeError):
    """A value of another kind than is allowed."""


class Refused(ServerRefused, RuntimeError):
    """The server, or the Hub, answered with an error; `status` is that of HTTP."""


class Unreachable(ServerUnreachable, ConnectionError, RuntimeError):
    """Neither server nor Hub answered. `unsent`: the server can have had nothing of the request."""

    unsent = False


class FileTrouble(StorageError, OSError):
    """A file or directory of this machine that cannot be read or written; the message names its path."""


class WrongServer(JdError, RuntimeError):
    """What answers is no job server."""


class NotOffered(JdError, NotImplementedError):
    """The server does not know how to do this: it is an older one, or another product's."""


class TookTooLong(JdError, TimeoutError):
    """Jobs were not finished within the time that was given."""


class NeverFinished(JdError, RuntimeError):
    """Jobs that are waited for do not exist, or were deleted."""


@contextmanager
def of_their_kinds() -> Iterator[None]:
    """Errors that come from the rooms below leave as those of this module."""
    try:
        yield
    except (Refused, Unreachable, BadValue, BadType, NoSession):
        raise
    except UsageError as error:
        raise BadValue(error.what, error.advice) from None
    except ServerRefused as error:
        raise Refused(error.status, error.what, error.advice) from None
    except ServerUnreachable as error:
        translated = Unreachable(error.what, error.advice)
        translated.unsent = nothing_sent(error)
        raise translated from None
    except WrongPort as error:
        raise WrongServer(error.what, error.advice) from None


def nothing_sent(error: ServerUnreachable) -> bool:
    """Whether a call has failed before the server can have had anything of it."""
    return isinstance(error.__cause__, ConnectionRefusedError)
