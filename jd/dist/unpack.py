"""Reads a wheel. One with a file that its RECORD does not list, or lists with another hash, is refused."""

import configparser
import csv
import io
import re
import struct
import zipfile
import zlib
from email.parser import HeaderParser
from pathlib import Path
from typing import Dict, NamedTuple, Tuple

from jd.dist.metadata import ProjectError
from jd.dist.wheel import digest
from jd.errors import StorageError

MAX_FILES = 20000
MAX_BYTES = 256 * 1024 * 1024  # unpacked

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")
_COMMAND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")
_DIST_INFO = re.compile(r"[A-Za-z0-9_.+!]+-[A-Za-z0-9_.+!]+\.dist-info\Z")

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises of damage besides its own kind.
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)


class Wheel(NamedTuple):
    """A pure Python wheel, checked and in memory."""

    name: str
    version: str
    dist_info: str
    files: Dict[str, bytes]  # by path with slashes; without RECORD
    scripts: Tuple[Tuple[str, str], ...]  # command, "module:function"


def read_wheel(path: Path) -> Wheel:
    """The contents of a wheel file. Raises StorageError, or ProjectError where it is not sound."""
    try:
        with zipfile.ZipFile(str(path)) as archive:
            files = _read_files(path, archive)
    except OSError as error:
        raise StorageError("cannot read %s: %s" % (path, error.strerror or error)) from None
    except _DAMAGED as error:
        raise ProjectError("%s is no wheel, or a damaged one: %s" % (path, error), "copy it again") from None
    tops = {name.split("/")[0] for name in files}
    info = sorted(top for top in tops if _DIST_INFO.match(top))
    if len(info) != 1:
        raise ProjectError("%s is no wheel: it needs one .dist-info directory, and has %d"
                           % (path, len(info)))
    if any(top.endswith(".data") for top in tops):
        raise ProjectError("%s has files for other places than site-packages (.data)" % path,
                           "install it with pip")
    _check_record(path, files, info[0])
    about = _headers(path, files, info[0] + "/WHEEL")
    if not about["Wheel-Version"].startswith("1.") or about["Root-Is-Purelib"].lower() != "true":
        raise ProjectError("%s is not a pure Python wheel of format 1" % path, "install it with pip")
    metadata = _headers(path, files, info[0] + "/METADATA")
    return Wheel(metadata["Name"], metadata["Version"], info[0], files,
                 _scripts(path, files.get(info[0] + "/entry_points.txt", b"")))


def _read_files(path: Path, archive: zipfile.ZipFile) -> Dict[str, bytes]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_BYTES:
        raise ProjectError("%s is larger than the %d files and %d MiB allowed"
                           % (path, MAX_FILES, MAX_BYTES >> 20))
    files = {}
    for member in members:
        parts = member.filename.split("/")
        if "\\" in member.filename or any(part in ("", ".", "..") for part in parts):
            raise ProjectError("%s has a file that would land elsewhere: %r; it is not installed"
                               % (path, member.filename))
        if member.compress_type not in _METHODS:
            raise ProjectError("%s is packed with a method that wheels do not have (%d)" % (
                path, member.compress_type), "copy it again")
        files[member.filename] = archive.read(member)
    return files


def _check_record(path: Path, files: Dict[str, bytes], dist_info: str) -> None:
    """Every file is in RECORD with its hash and nothing else is (PEP 427); RECORD is taken out."""
    record = files.pop(dist_info + "/RECORD", b"").decode("utf-8", "replace")
    try:
        rows = {row[0]: row[1] for row in csv.reader(io.StringIO(record, newline="")) if len(row) == 3}
    except csv.Error as error:
        raise ProjectError("%s is damaged: its RECORD cannot be read: %s" % (path, error),
                           "copy it again") from None
    rows.pop(dist_info + "/RECORD", None)
    for name in sorted(set(rows) ^ set(files)):
        raise ProjectError("%s is damaged: %s is not both in it and in its RECORD" % (path, name),
                           "copy it again")
    for name, data in files.items():
        if rows[name] != digest(data):
            raise ProjectError("%s is damaged: %s has another hash than RECORD says" % (path, name),
                               "copy it again")


def _headers(path: Path, files: Dict[str, bytes], name: str) -> Dict[str, str]:
    message = HeaderParser().parsestr(files.get(name, b"").decode("utf-8", "replace"))
    found = {key: str(value) for key, value in message.items()}
    for key in ("Name", "Version") if name.endswith("METADATA") else ("Wheel-Version",
                                                                      "Root-Is-Purelib"):
        if not found.get(key):
            raise ProjectError("%s is no wheel: %s has no %s" % (path, name, key))
    return found


def _scripts(path: Path, text: bytes) -> Tuple[Tuple[str, str], ...]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # commands keep their case
    try:
        parser.read_string(text.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ProjectError("%s: entry_points.txt cannot be read: %s" % (path, error)) from None
    section = "console_scripts"
    found = sorted(parser.items(section)) if parser.has_section(section) else []
    for command, target in found:
        if not _COMMAND.match(command) or not _TARGET.match(target):
            raise ProjectError("%s: command %r = %r cannot be made" % (path, command, target),
                               "it takes module:function")
    return tuple(found)
