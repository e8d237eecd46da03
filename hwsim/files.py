"""Files that hwsim writes, whole or not at all, and the folder where it keeps what it would else compute again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hwsim.errors import HwsimError


def cache_folder() -> Path:
    """``$HWSIM_CACHE_DIR``, or ``hwsim`` in the user's cache folder."""
    own = os.environ.get("HWSIM_CACHE_DIR")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim"


def write_file(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file under a temporary name and rename it, so that readers see all of it or nothing.

    Raises:
        HwsimError: the folder or the file cannot be written.
    """
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    temporary = ""
    try:
        if target.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise HwsimError(f"the file cannot be written: {error.strerror}.", where=str(path)) from error
    return target


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
