"""How numba kernels are compiled, and how compiled code is kept on disk.

numba's own cache trusts its files: a damaged one raises at every call, and code compiled from another module's old
source (a kernel that was inlined) is used on. Here a file of compiled code says by a hash that it is whole, that it
was made from these sources, and it is read only where it is the user's own; any other is compiled and written again.
Where it lies is as numba has it: ``NUMBA_CACHE_DIR``, else ``__pycache__`` beside the source, else the user's cache
folder.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import pickle
import re
import stat
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Records with named fields, which are attributes in a kernel; their types say no more than that.
Record = Any
Records = npt.NDArray[Any]

#: ``from hwsim.mapper import labels`` or ``import hwsim.counting`` at the beginning of a line.
_IMPORT = re.compile(
    rb"^(?:from[ ]+(hwsim[\w.]*)[ ]+import[ ]+(\([^)]*\)|[^\n]*)|import[ ]+(hwsim[\w.]*))", re.MULTILINE
)
#: Of numba's settings, those that change what is compiled and are not in its own key.
_FLAGS = ("OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")
_DIGEST = hashlib.sha256().digest_size


@functools.cache
def _source(module: str) -> bytes | None:
    """A module's file; None where there is no such module, or no file of it."""
    try:
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        content: bytes = spec.loader.get_data(spec.origin)  # type: ignore[union-attr]
    except (ImportError, AttributeError, AssertionError, OSError, ValueError):
        return None
    return content


@functools.cache
def sources_sha256(module: str) -> str:
    """Hash of the sources of a module and of all of hwsim that it imports at its top level, directly or not."""
    todo, found = [module], {}
    while todo:
        name = todo.pop()
        source = None if name in found or name == "hwsim" else _source(name)
        if source is None:
            continue
        found[name] = hashlib.sha256(source).hexdigest()
        for package, names, plain in _IMPORT.findall(source):
            origin = (package or plain).decode()
            todo += [origin, *(f"{origin}.{word}" for word in re.findall(r"\w+", names.decode()))]
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


class _Code(FunctionCache):
    """Compiled code of one kernel on disk: a file per signature, ``MODULE.KERNEL-LINE.pyXY.HASH.nbc``.

    A file is a hash of all that follows and of what it should be, the hash of the sources, and the code. Any trouble
    with files means that there is nothing on disk; it is never an error.
    """

    @property
    def _sources(self) -> bytes:
        return bytes.fromhex(sources_sha256(self._py_func.__module__))

    def _place(self, signature: Any, codegen: Any) -> tuple[Path, bytes]:
        """Where the code of a signature lies, and what it should be."""
        how = [numba.__version__, *(getattr(config, name) for name in _FLAGS)]
        what = repr((self._impl.filename_base, signature, codegen.magic_tuple(), how)).encode()
        name = f"{self._impl.filename_base}.{hashlib.sha256(what).hexdigest()[:16]}.nbc"
        return Path(self._cache_path) / name, what

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        path, what = self._place(sig, target_context.codegen())
        with contextlib.suppress(OSError):
            content = _read_own(path)
            rest = content[_DIGEST:]
            if content == hashlib.sha256(what + rest).digest() + rest and rest.startswith(self._sources):
                return self._impl.rebuild(target_context, pickle.loads(rest[_DIGEST:]))
        return None

    def _save_overload(self, sig: Any, data: Any) -> None:
        if not self._impl.check_cachable(data):
            return
        path, what = self._place(sig, data.codegen)
        rest = self._sources + dumps(self._impl.reduce(data))  # type: ignore[no-untyped-call]
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_own(path, hashlib.sha256(what + rest).digest() + rest)

    def any_on_disk(self) -> bool:
        """Whether there is code of these sources, for whatever signature."""
        for path in Path(self._cache_path).glob(f"{self._impl.filename_base}.*.nbc"):
            with contextlib.suppress(OSError):
                if _read_own(path)[_DIGEST : 2 * _DIGEST] == self._sources:
                    return True
        return False


def _read_own(path: Path) -> bytes:
    """The content of a file that the user alone can write; others' files are not there."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
            return b""
        return file.read()


def _write_own(path: Path, content: bytes) -> None:
    """Write a file that the user alone can read, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit`, with compiled code kept as this module keeps it."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if cache:
            with contextlib.suppress(RuntimeError):  # no folder that could be written: compiled in every process
                dispatcher._cache = _Code(function)  # type: ignore[no-untyped-call]
        return dispatcher

    return compiled


def on_disk(compiled: Any) -> bool:
    """Whether a kernel's code is on disk, or cannot be kept there."""
    code = compiled._cache
    return not isinstance(code, _Code) or code.any_on_disk()


kernel = partial(njit, cache=True, error_model="numpy", _nrt=False)
"""Decorator of a kernel that allocates nothing.

Nothing allocated, nothing to free: numba need not count references to arrays in it (``_nrt``). Counting
halves the mapping search's speed on eyeriss_like and quarters it on simple_ws. Returning an array, copying one
slice into another or allocating is refused by the compiler or, for an array that is returned, wrong.
"""
