"""Archives and signatures of others: checkpoints, wheels, pyproject.toml, patterns of `collect=`."""

import importlib
import io
import os
import tarfile
import zipfile
from typing import Tuple

from jd.dist import toml_subset, unpack
from jd.dist.metadata import ProjectError
from jd.errors import JdError, StorageError
from jd.protocol import DIRECTORY_MARK
from jd.script import signature
from jd.settingvalues import file_patterns
from jd.worker.attempt.files import checkpointtar, collect
from tests.fuzz.files_of_ours import Scratch
from tests.fuzz.material import Source
from tests.fuzz.properties import Property, outcome, refused

KEY = "ab" * 32


def make_checkpoint(source: Source) -> bytes:
    """A tar archive as a server may send it."""
    written = io.BytesIO()
    with tarfile.open(
        fileobj=written,
        mode="w",
        format=source.one(tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT),
    ) as tar:
        mark = tarfile.TarInfo(DIRECTORY_MARK.decode() if source.chance(0.95) else source.word())
        tar.addfile(mark)
        for _ in range(source.few(5)):
            member = tarfile.TarInfo(
                source.one(
                    "a", "b/c", "a/x", "../x", "/x", "./a", "a//b", "b", source.text(3).replace("\0", "")
                )[:90]
            )
            member.type = source.one(
                tarfile.REGTYPE,
                tarfile.REGTYPE,
                tarfile.DIRTYPE,
                tarfile.SYMTYPE,
                tarfile.LNKTYPE,
                tarfile.FIFOTYPE,
                tarfile.CHRTYPE,
                b"S",
            )
            member.mode = source.below(0o10000)
            member.mtime = (
                source.one(0, 5, -1, 2**33 - 1, 1.5, -(2**40), 2**62, 10**30) if source.chance(0.3) else 5
            )
            member.linkname = source.one("a", "../../x", "/etc/passwd", "", "b/c", ".")
            data = source.text(5).encode("utf-8", "replace") if member.isreg() else b""
            member.size = len(data)
            if source.chance(0.1):
                member.pax_headers = {
                    source.one(
                        "mtime", "size", "path", "linkpath", "GNU.sparse.map", "hdrcharset"
                    ): source.one(
                        source.number(), "nan", "inf", "1e400", "a/../../b", source.text(2).replace("\0", "")
                    )
                }
            try:
                tar.addfile(member, io.BytesIO(data))
            except (ValueError, UnicodeError):
                pass  # this format cannot say it
    return source.maybe_bytes(written.getvalue(), 0.5)


def check_checkpoint(data: bytes) -> None:
    """All of it below the directory, or a JdError and nothing."""
    with Scratch() as place:
        directory = place / "inner" / "checkpoint"
        directory.parent.mkdir()
        found = outcome(lambda: checkpointtar.unpack(io.BytesIO(data), directory), JdError)
        assert sorted(os.listdir(str(place))) == ["inner"], os.listdir(str(place))
        assert os.listdir(str(directory.parent)) == ([] if refused(found) else ["checkpoint"])
        if not refused(found):
            real = os.path.realpath(str(directory))
            for base, folders, files in os.walk(str(directory)):
                for name in folders + files:
                    target = os.path.realpath(os.path.join(base, name))
                    assert target == real or target.startswith(real + os.sep), target
            to = io.BytesIO()
            checkpointtar.pack(directory, to)
            directory.rename(place / "inner" / "first")
            checkpointtar.unpack(to, directory)


def make_signed(source: Source) -> bytes:
    """A file with a signature."""
    file = io.BytesIO(source.text(5).encode("utf-8", "replace"))
    signature.sign(file, signature.Signer([KEY], "demo", 3), "it")
    return source.maybe_bytes(file.getvalue(), 0.7)


def check_signed(data: bytes) -> None:
    """A trailer or none; one that fits is of bytes that nobody has changed."""
    file = io.BytesIO(data)
    trailer = signature.read(file)
    if trailer is not None:
        assert trailer.job_id >= 0 and isinstance(trailer.experiment, str)
        if signature.fits(file, trailer, [KEY]):
            again = io.BytesIO(data[: trailer.body])
            signature.sign(again, signature.Signer([KEY], trailer.experiment, trailer.job_id), "it")
            assert again.getvalue() == data


def make_wheel(source: Source) -> bytes:
    """A zip file that may be a wheel."""
    written = io.BytesIO()
    with zipfile.ZipFile(
        written,
        "w",
        source.one(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA),
    ) as archive:
        info = source.one("a-1.dist-info", "a-1.dist-info", source.word())
        for name in {
            "a/__init__.py",
            info + "/WHEEL",
            info + "/METADATA",
            info + "/RECORD",
            info + "/entry_points.txt",
            *source.several(lambda: source.text(2).replace("\0", "") or "x", 3),
        }:
            text = source.one(
                "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
                "Name: a\nVersion: 1\n",
                "[console_scripts]\na = b:c\n",
                'a,b,c\n"',
                source.text(6),
                "x" * 140_000 if source.chance(0.02) else "%s=%s" % (source.word(), "%"),
            )
            if source.chance(0.9):
                archive.writestr(name, text.encode("utf-8", "replace"))
    return source.maybe_bytes(written.getvalue(), 0.6)


def check_wheel(data: bytes) -> None:
    """A wheel, or an error that names the file."""
    with Scratch() as place:
        path = place / "a.whl"
        path.write_bytes(data)
        found = outcome(lambda: unpack.read_wheel(path), ProjectError, StorageError)
        assert not refused(found) or str(path) in found[2], found
        unpack_errors = outcome(
            lambda: unpack._check_record(path, {"x.dist-info/RECORD": data[:3000]}, "x.dist-info"),
            ProjectError,
        )
        assert unpack_errors is None or str(path) in unpack_errors[2]
        scripts = outcome(lambda: unpack._scripts(path, data[-3000:]), ProjectError)
        assert not refused(scripts) or str(path) in scripts[2]


def make_toml(source: Source) -> str:
    """A pyproject.toml."""

    def value() -> str:
        return source.one(
            "1",
            "true",
            '"a"',
            "'b'",
            "[1, 2]",
            "{a = 1}",
            "[]",
            '"\\u00e4"',
            '"\\ud800"',
            source.number()[:400],
            "1_0",
            "[" * source.below(30),
            '"%s' % source.text(2),
            "2020-01-01",
            '"""a"""',
        )

    lines = source.several(
        lambda: source.one(
            "[a]",
            "[a.b]",
            "[[a]]",
            "# x",
            "a.b = %s" % value(),
            "%s = %s" % (source.word(), value()),
            '"q" = 1',
            source.text(3),
        ),
        8,
    )
    return source.maybe("\n".join(lines), 0.3)


def check_toml(text: str) -> None:
    """A table, or TomlError; where Python reads it as well, it is the same."""
    found = outcome(lambda: toml_subset.loads(text), toml_subset.TomlError)
    if not refused(found):
        try:
            theirs = importlib.import_module("tomllib").loads(text)
        except (ImportError, RecursionError, ValueError):
            return  # what is no TOML may be read: pyproject.toml is ours
        try:
            assert found == theirs, (found, theirs)
        except RecursionError:
            pass  # Python compares nothing that is nested so deep


def make_pattern(source: Source) -> Tuple[str, str]:
    """Patterns of `collect=` and the name of a file."""

    def part() -> str:
        return source.one(
            "*", "**", "a", "*.csv", "?", "[ab]", "[", "[!", ".x", "***", "*a*b", source.text(2), ""
        )

    return ",".join(source.several(lambda: "/".join(source.several(part, 7)), 4)), "/".join(
        source.several(lambda: source.one("a", "b.csv", ".x", source.text(2) or "c"), 12)
    ) or "a"


def check_pattern(given: Tuple[str, str]) -> None:
    """They match or not, or ValueError."""
    patterns = outcome(lambda: file_patterns(given[0]), ValueError)
    if not refused(patterns):
        for pattern in collect.patterns(patterns):
            collect.matches(
                [part for part in pattern.split("/") if part not in ("", ".")], given[1].split("/")
            )


_ODD_TIME = io.BytesIO()
with tarfile.open(fileobj=_ODD_TIME, mode="w", format=tarfile.PAX_FORMAT) as _tar:
    _tar.addfile(tarfile.TarInfo(DIRECTORY_MARK.decode()))
    _member = tarfile.TarInfo("a")
    _member.mtime = 10**30
    _tar.addfile(_member, io.BytesIO(b""))

PROPERTIES = (
    Property(
        "checkpoint",
        make_checkpoint,
        check_checkpoint,
        (b"", b"\0" * 10_240, _ODD_TIME.getvalue()),
        weight=10,
    ),
    Property("signature", make_signed, check_signed, (b"", signature.MARK, b"\0" * 20), weight=40),
    Property("wheel", make_wheel, check_wheel, (b"", b"PK\x05\x06" + b"\0" * 18), weight=2),
    Property(
        "toml",
        make_toml,
        check_toml,
        ("", "a = " + "[" * 3000, "a.b.c" * 400 + " = 1", "[a" + ".a" * 3000 + "]"),
        weight=40,
    ),
    Property(
        "collect",
        make_pattern,
        check_pattern,
        (("**/**/**/**", "a/" * 40 + "b"), ("a*" * 12, "a" * 60)),
        weight=30,
    ),
)
