"""The line that tells why an attempt has failed: the last error in what it printed.

Of Python it is the exception at the end of the last traceback, of other languages the last line that speaks
of an error, of an attempt that was ended from outside what its verdict says. No database here; `errorform`
has the form in which such lines are grouped.

    output of                        its line
    Python                           `Type: message`, whatever is printed after the traceback; a group of
                                     exceptions with the first that is in it
    C++, an exception nobody caught  `std::runtime_error: what it says`
    Java, R, Julia, Rust, Go, bash   the last line with error, exception, fatal, failed, failure, panic;
                                     frames of the stack, warnings and what only passes a status on are none
    anything else                    the last line that is not empty, a bar of progress only for want of any
"""

import re
import signal
from typing import List, NamedTuple, Optional, Sequence

from jd import protocol as p

LONGEST = 1000  # characters of a line that are looked at
_READ = 16 * 1024  # characters of output that are looked at, the last

# Ended from outside: what the worker or the server says of it is why.
_FROM_OUTSIDE = (p.VERDICT_KILLED, p.VERDICT_OOM, p.VERDICT_TIMEOUT, p.VERDICT_PREEMPTED, p.VERDICT_LOST)

_ESCAPES = re.compile("\033(?:\\[[0-?]*[ -/]*[@-~]|\\][^\007\033]*(?:\007|\033\\\\)?|[@-Z\\\\-_])")
_STAMP = re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*(?:Z|[+-]\d\d:?\d\d)?\]?[ ]?")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# ---- Python
_FRAME = 'File "'
_FRAME_END = re.compile(r'[^"]+", line \d+(?:, in .+)?')
_EXCEPTION = re.compile(r"[A-Za-z_][\w.<>]*(?::.*)?")
_GROUP = re.compile(r"\(\d+ sub-exceptions?\)$")
_IN_GROUP = re.compile(r"\s*\| ([A-Za-z_][\w.<>]*(?::\s.*)?)$")
_HEADER = "Traceback (most recent call last)"
# What stands before a traceback that tells of a clean-up, not of why the program ended.
_ASIDE = re.compile(r"Exception ignored |--- Logging error ---|was never retrieved|Error in atexit")

# ---- any language
_STRONG = re.compile(r"error|exception|fatal|failed|failure|\bpanic", re.IGNORECASE)
_WEAK = re.compile(r"segmentation fault|core dumped|\bkilled\b|\baborted\b|not found|no such file|denied|"
                   r"unbound variable|cannot |can't |could not|unable to", re.IGNORECASE)
_STACK = re.compile(r"\s+at .*[()]|\s*\.\.\. \d+ more|\s*\[\d+\] |\s*@ |\s*#\d+\s|\s*File \"|\s*\d+: 0x")
_WARNING = re.compile(r"\b\w*Warning\b|\bWARN(?:ING)?\b|\bwarnings?:|\bINFO\b|\bDEBUG\b")
# A figure that is called error, and lines that say that there is none.
_FIGURE = re.compile(r"(?<![A-Za-z])errors?\S?\s*[:=]?\s*[-+]?\d*\.?\d+(?:e[-+]?\d+)?%?\s*"
                     r"(?:$|[,;|)]|\s\w+\s*[:=])|"
                     r"\b(?:no|0|without|zero) (?:\w+ )?(?:errors?|failures?|exceptions?)\b|"
                     r"\b0 failed\b|\bfailed[:=]\s*0\b|errors?[:=]\s*none\b", re.IGNORECASE)
# What only passes on that something else has failed.
_PASSED_ON = re.compile(r"^srun: error: .*(?:[Ee]xited|[Tt]erminated|Killed)|^srun: (?:Job step|Terminating)|"
                        r"^slurmstepd: error: \*\*\* |^(?:g?make|ninja)(?:\[\d+\])?: |^Execution halted|"
                        r"^Primary job +terminated|^mpi(?:run|exec)\b.* (?:exit|non-zero)|"
                        r"^Set the environment variable HYDRA_FULL_ERROR|^exit status \d+$|"
                        r"^Error termination|^error: script .* exited")
_PROGRESS = re.compile(r"\d+%\||\d+/\d+ \[|it/s|s/it|\[[=>#. -]{4,}\]|^\s*\d{1,3} ?%")
_THROWN = re.compile(r"terminate called after throwing an instance of '([^']+)'")
_WHAT = re.compile(r"\s*what\(\):\s*(.*)")


def of(verdict: str, exit_code: Optional[int], message: str, output: str) -> str:
    """The line of an attempt that ended with this verdict: `message` is what its worker or the server says of
    the end, `output` the last that it printed. Empty where nobody has said or printed anything."""
    said = _said(message)
    if verdict in _FROM_OUTSIDE and exit_code != -signal.SIGABRT:
        return said
    found = in_output(output)
    if exit_code == -signal.SIGABRT and not _STRONG.search(found):
        return said  # a program that aborts by itself mostly says why
    if not found and exit_code is None:
        # It was never started, or a client of the base protocol tells: all that there is stands here.
        found = in_output(message)
    return found or said


def in_output(output: str) -> str:
    """The line in what a program has printed; empty if that is."""
    lines = _lines(output)
    return _shown(_python(lines) or _thrown(lines) or _by_words(lines))


def _said(message: str) -> str:
    return _shown(next((line for line in message.splitlines() if line.strip()), ""))


def _lines(output: str) -> List[str]:
    text = _ESCAPES.sub("", output[-_READ:])
    lines = [line[:LONGEST].rstrip() for line in re.split("[\r\n]+", text)]
    return [line for line in lines if line]


def _shown(line: str) -> str:
    return " ".join(_CONTROLS.sub(" ", line[:LONGEST]).split())


# ---- Python

class _Found(NamedTuple):
    """An exception below its frames, and behind which line it ends."""

    text: str
    end: int


def _python(given: Sequence[str]) -> str:
    """The exception below the last frames; of those of a clean-up only where there are no others."""
    lines = [_STAMP.sub("", line, 1) if line[:2] in ("20", "[2") else line for line in given]
    found = aside = ""
    is_aside = False
    at = 0
    while at < len(lines):
        if _HEADER in lines[at]:
            is_aside = at > 0 and _ASIDE.search(lines[at - 1]) is not None
        if not _is_frame(lines[at]):
            at += 1
            continue
        one = _below(lines, at)
        if one is None:
            at += 1
            continue
        if is_aside or one.text.startswith("Message:"):
            aside = one.text
        else:
            found = one.text
        at = one.end
    return found or aside


def _is_frame(line: str) -> bool:
    before, mark, rest = line.partition(_FRAME)
    return mark != "" and (before == "" or before[-1].isspace()) and _FRAME_END.fullmatch(rest) is not None


def _below(lines: Sequence[str], frame: int) -> Optional[_Found]:
    """The exception below a frame, which may stand behind a prefix: a rank's, or that of a group."""
    before = lines[frame][:lines[frame].index(_FRAME)]
    prefix = before.rstrip()
    least = max(0, len(before) - len(prefix) - 2)
    for at in range(frame + 1, len(lines)):
        if not lines[at].startswith(prefix):
            continue  # of another rank, which prints meanwhile
        rest = lines[at][len(prefix):]
        text = rest.lstrip()
        if len(rest) - len(text) > least or not text or _WARNING.match(text):
            continue
        if _EXCEPTION.fullmatch(text) is None:
            return None
        if _GROUP.search(text):
            return _group(lines, at, text)
        return _Found(_joined(text, lines, at, prefix), at + 1)
    return None


def _group(lines: Sequence[str], at: int, text: str) -> _Found:
    """A group of exceptions with the first one in it that is none itself, and the end of its drawing."""
    end, first, is_inside = at + 1, "", False
    while end < len(lines) and lines[end].lstrip()[:1] in ("|", "+"):
        one = _IN_GROUP.match(lines[end])
        if one is None:
            is_inside = is_inside or lines[end].lstrip().startswith("+")
        elif is_inside and not first and not _GROUP.search(lines[end]):
            first = one.group(1)
        end += 1
    return _Found("%s: %s" % (text, first) if first else text, end)


def _joined(text: str, lines: Sequence[str], at: int, prefix: str = "") -> str:
    """A line that ends with a colon says what it is about in the next one that has a word in it."""
    if not text.endswith(":"):
        return text
    for following in lines[at + 1:at + 4]:
        rest = following[len(prefix):] if following.startswith(prefix) else ""
        if any(char.isalnum() for char in rest):
            return "%s %s" % (text, rest.strip())
    return text


# ---- other languages

def _thrown(lines: Sequence[str]) -> str:
    """What a C++ program says that ends with an exception: type and text stand in two lines."""
    for at in range(len(lines) - 1, -1, -1):
        found = _THROWN.search(lines[at])
        if found is not None:
            what = _WHAT.match(lines[at + 1]) if at + 1 < len(lines) else None
            return found.group(1) if what is None else "%s: %s" % (found.group(1), what.group(1))
    return ""


def _by_words(lines: Sequence[str]) -> str:
    """The last line that speaks of an error, else of something that looks like one, else the last one."""
    told = [at for at, line in enumerate(lines) if _STACK.match(line) is None]
    plain = [at for at in told if _WARNING.search(lines[at]) is None and _PASSED_ON.search(lines[at]) is None]
    for words in (_STRONG, _WEAK):
        for at in reversed(plain):
            if words.search(lines[at]) and not _FIGURE.search(lines[at]):
                return _joined(lines[at], lines, at)
    for some in ([at for at in plain if not _PROGRESS.search(lines[at])], told, range(len(lines))):
        for at in reversed(some):
            if any(char.isalnum() for char in lines[at]):
                return lines[at]
    return lines[-1] if lines else ""
