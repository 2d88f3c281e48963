"""The form in which error lines are grouped: what differs from job to job has given way to a placeholder.

    <time>   dates and times of day; durations such as `1 h 5 min`, `3m 05s`
    <uuid>   ids of this form
    <url>    addresses with a scheme
    <host>   the name of the attempt's own machine, IP addresses, names below a domain
    <path>   paths, and names of files with a directory or with a suffix that files of programs have
    <text>   what stands in quotes
    <hex>    numbers with 0x, digests of eight and more digits with letters among them
    <n>      numbers, with their sign; also those in words (`cuda:1`, `node07`); a list of them is one

These forms are kept in databases: whoever changes a rule has new failures grouped apart from old ones.
"""

import functools
import re
from typing import Optional, Pattern, Tuple

MOST = 300  # characters

_TIMES = (
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?|"
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2},?"
    r"(?: \d{4})?(?: \d\d:\d\d(?::\d\d)?(?: \d{4})?)?(?!\w)|"
    r"(?<![\d:])\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?![\d:])|"
    r"(?<![\w.])\d+(?:d \d\dh|h \d\dm|m \d\ds)(?!\w)|"
    r"(?<![\w.])\d+(?:\.\d+)? ?(?:d|h|min|s|ms|seconds?|minutes?|hours?)(?![\w-])"
    r"(?: \d+ ?(?:h|min|s|seconds?)(?![\w-]))*")
_SUFFIXES = ("py|pyc|ipynb|sh|c|cc|cpp|cu|cuh|h|hpp|java|jl|[rR]|rs|go|so(?:\\.\\d+)*|dll|json|jsonl|ya?ml|"
             "toml|cfg|ini|csv|tsv|txt|log|npy|npz|pt|pth|ckpt|pkl|h5|hdf5|parquet|png|jpe?g|gz|bz2|xz|zip|tar|bin|"
             "safetensors|onnx|out|err|lock|tmp")

_RULES: Tuple[Tuple[Pattern[str], str], ...] = (
    (re.compile(r"^it took down \d+ workers: [^;]*"), "it took down workers"),
    (re.compile(r"(?<!\w)[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s'\"<>]+"), "<url>"),
    (re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9A-Za-z])"),
     "<uuid>"),
    (re.compile(r"(?<!\w)'[^']*'(?!\w)|(?<!\w)\"[^\"]*\"(?!\w)|`[^`']*['`]|‘[^’]*’|“[^”]*”|«[^»]*»"),
     "<text>"),
    (re.compile(_TIMES), "<time>"),
    (re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\w.])"), "<host>"),
    (re.compile(r"(?<![\w.@-])(?=[A-Za-z-]*\d|[\w-]+\.[\w-]+\.)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\."
                r"(?:local|lan|internal|cluster|edu|gov|com|org|net|de|fr|uk|ch|jp|cn)(?::\d{1,5})?(?![\w.-])"),
     "<host>"),
    (re.compile(r"(?<![\w<>.:/-])(?:~|\.{1,2})?(?:/[^\s'\"`,;:()\[\]<>|=]+)+/?|"
                r"(?<!\w)[A-Za-z]:\\[^\s'\"<>|:]+|"
                r"(?<![\w<>.:/-])[\w.-]+(?:/[\w.-]+)*/[\w.-]+\.[A-Za-z]\w{0,5}(?![\w/])|"
                r"(?<![\w<>.:/-])[\w-]+(?:\.[\w-]+)*\.(?:%s)(?![\w./])" % _SUFFIXES), "<path>"),
    (re.compile(r"0[xX][0-9a-fA-F]+|(?<![0-9A-Za-z])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}(?![0-9A-Za-z])"),
     "<hex>"),
    (re.compile(r"(?:(?<![\w.)\]>])[-+])?(?:\d[\d_]*(?:,\d{3})*(?:\.\d+)*|\.\d+)(?:[eE][-+]?\d+)?"),
     "<n>"),
    (re.compile(r"<n>(?:\s*(?:,|x|×)\s*<n>)+,?|<n>,(?=\s*[)\]])"), "<n>"),
)


def normal(line: str, host: Optional[str] = None) -> str:
    """The form of a line; `host` is the machine on which it was printed."""
    found = " ".join(line.split())
    if host:
        found = _named(host).sub("<host>", found)
    for pattern, placeholder in _RULES:
        found = pattern.sub(placeholder, found)
    return found if len(found) <= MOST else found[:MOST - 1] + "…"


@functools.lru_cache(maxsize=256)
def _named(host: str) -> Pattern[str]:
    """A machine by its name, with or without a domain behind it."""
    return re.compile(r"(?<![\w.-])%s(?:\.[\w.-]*\w)?(?![\w-])" % re.escape(host.partition(".")[0]))
