"""Files that hwsim reads and writes: only regular files of bounded size are read, results are written whole or not at
all; and the folder where it keeps what it would else compute again."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from hwsim.errors import HwsimError

STANDARD_OUTPUT = "-"
MOST_BYTES = 16 * 2**20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def cache_folder() -> Path:
    """``$HWSIM_CACHE_DIR``, or ``hwsim`` in the user's cache folder."""
    own = os.environ.get("HWSIM_CACHE_DIR")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim"


def open_regular(path: str | os.PathLike[str], most: int = MOST_BYTES) -> BinaryIO:
    """A regular file, open for reading; pipes and devices, which may never end, are refused before they are read.

    Args:
        path: the file; links are followed.
        most: bytes that it may have.

    Raises:
        HwsimError: there is no such file, it is a folder, pipe, socket or device, it is too large or cannot be opened.
    """
    where, flags = os.fspath(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        _check_regular(os.stat(path), most, where)  # before it is opened, which is an act on some devices
        handle = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise HwsimError(f"the file cannot be read: {_why(error)}.", where=where) from error
    try:
        _check_regular(os.fstat(handle), most, where)  # another file may have its name by now
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check_regular(status: os.stat_result, most: int, where: str) -> None:
    kind = next((name for holds, name in _KINDS if holds(status.st_mode)), None)
    if kind is not None:
        raise HwsimError(f"it is {kind}; expected a regular file.", where=where)
    if status.st_size > most:
        raise HwsimError(f"the file has {status.st_size:,} bytes; at most {most:,} are read.", where=where)


def read_bytes(path: str | os.PathLike[str], most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises:
        HwsimError: see `open_regular`; the file grows beyond ``most`` while it is read, or cannot be read to its end.
    """
    with open_regular(path, most) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise HwsimError(f"the file cannot be read: {_why(error)}.", where=os.fspath(path)) from error
    if len(content) > most:
        raise HwsimError(f"the file has more than {most:,} bytes.", where=os.fspath(path))
    return content


def read_text(path: str | os.PathLike[str], most: int = MOST_BYTES) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark.

    Raises:
        HwsimError: see `read_bytes`; it is not in UTF-8 (says at which byte).
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HwsimError(
            f"expected text in UTF-8; the byte at position {error.start:,} is not.", where=os.fspath(path)
        ) from error


def is_standard_output(path: str | os.PathLike[str]) -> bool:
    """True for ``-``, and for every name of the file, pipe or terminal that standard output goes to."""
    if os.fspath(path) == STANDARD_OUTPUT:
        return True
    try:
        return os.path.samestat(os.stat(path), os.fstat(sys.__stdout__.fileno()))  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):  # no such file, no standard output
        return False


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a file that `write_file` could not write, before the work whose result is to go there.

    Raises:
        HwsimError: its folder is missing or may not be written to, it is a folder, or a file that may not be written.
    """
    if is_standard_output(path) or _is_descriptor(path):
        return
    try:
        target = Path(os.path.realpath(path))
        found = target.stat() if target.exists() else None
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if found is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if found is None or stat.S_ISREG(found.st_mode):
            if not target.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, "there is no such folder")
            if not os.access(target.parent, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "its folder may not be written to")
    except (OSError, ValueError) as error:
        raise HwsimError(f"the file cannot be written: {_why(error)}.", where=os.fspath(path)) from error


def write_file(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file, so that readers see all of it or nothing.

    A regular file is written under a temporary name beside it and renamed; a link stays a link, what it points to is
    written. Pipes and devices are written as they are. ``-`` is standard output. Text is written in UTF-8.

    Raises:
        HwsimError: the folder or the file cannot be written.
    """
    # a lone surrogate has no place in UTF-8; as an escape it stays legible, and in JSON it stays what it is
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if is_standard_output(path):
            _write_standard_output(data)
            return Path(path)
        check_writable(path)
        target = Path(os.path.realpath(path))
        if _is_descriptor(path) or (target.exists() and not target.is_file()):
            _write_in_place(path, data)
        else:
            _replace(target, data)
    except (OSError, ValueError) as error:
        if isinstance(error, BrokenPipeError) and is_standard_output(path):
            raise
        raise HwsimError(f"the file cannot be written: {_why(error)}.", where=os.fspath(path)) from error
    return Path(path)


def _is_descriptor(path: str | os.PathLike[str]) -> bool:
    """True for names of what this process has open: a file behind one must not be replaced by another."""
    return re.match(r"/dev/(fd/|std(in|out|err)$)|/proc/", os.path.abspath(path)) is not None


def _replace(target: Path, data: bytes) -> None:
    """Write a regular file under another name in its folder and rename it; it keeps the rights that it had."""
    rights = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, rights)
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _write_in_place(path: str | os.PathLike[str], data: bytes) -> None:
    """Write to a pipe or device; a pipe that nobody reads does not block."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
    os.set_blocking(handle, True)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _write_standard_output(data: bytes) -> None:
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:  # a notebook's
        sys.stdout.write(data.decode("utf-8"))
    else:
        binary.write(data)
    sys.stdout.flush()


def _why(error: OSError | ValueError) -> str:
    """What is wrong, in words; ValueErrors are of zero characters and surrogates in a file's name."""
    if not isinstance(error, OSError):
        return "no file can have this name"
    if error.errno in (errno.ENXIO, errno.EPIPE):
        return "nobody reads this pipe"
    said = error.strerror or str(error)
    return said[:1].lower() + said[1:]


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
