"""The files of one specification: what is given, and what templates and tags take in from the folders around it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from glob import escape, glob
from pathlib import Path
from typing import Any

from hwsim.errors import HwsimError, did_you_mean
from hwsim.files import read_text
from hwsim.spec.document import INCLUDED, MAX_BYTES, Field, Included, parse_document
from hwsim.spec.notes import note
from hwsim.spec.template import Account, is_template, render

MAX_FILES = 1_000
MAX_DEPTH = 20
MAX_ALL_BYTES = 4 * MAX_BYTES
MAX_NAME = 4_000
_INCLUDE_LINE = re.compile(r"^!include[ \t]+([^\s\[\]{}]+)[ \t]*$", re.MULTILINE)


class Sources:
    """Reads specification files: rendered where they are templates, with what they include.

    Args:
        given: the files that the user names. What they include must lie in their folders, or below the deepest folder
            that holds them all.
        data: variables of templates; one whose text is the name of a file gives that file, too.
        folders: more folders that may be read, and are searched last.
    """

    def __init__(
        self,
        given: Sequence[str | os.PathLike[str]] = (),
        data: Mapping[str, Any] | None = None,
        folders: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        self.data = dict(data or {})
        named = [v for v in self.data.values() if isinstance(v, str) and len(v) < MAX_NAME and os.path.isfile(v)]
        self.named = set(named)
        self.folders = [_real(folder) for folder in folders]
        self.roots = _roots([*given, *named]) + self.folders
        self.account = Account()
        self.files = 0
        self.bytes = 0
        self.kept: dict[str, Field] = {}

    def read(self, path: str | os.PathLike[str]) -> Field:
        """One file of the user's, as the specification it renders to.

        Raises:
            HwsimError: see `hwsim.spec.document.read_document` and `hwsim.spec.template.render`; it includes a file
                that is not there, lies elsewhere, or includes itself.
        """
        return _Source(self, Path(path), list(self.folders), 0).document()

    def text(self, path: Path, shown: str) -> str:
        """The text of a file, counted against what may be read in all."""
        self.files += 1
        if self.files > MAX_FILES:
            raise HwsimError(f"more than {MAX_FILES:,} files are included.", where=shown)
        text = read_text(path, MAX_BYTES)
        self.bytes += len(text)
        if self.bytes > MAX_ALL_BYTES:
            raise HwsimError(f"the files included have more than {MAX_ALL_BYTES:,} characters in all.", where=shown)
        return text

    def allowed(self, path: Path) -> bool:
        """Whether a file or folder lies where this specification may read."""
        real = _real(path)
        return any(real == root or root in real.parents for root in self.roots)

    def keep(self, value: Field) -> str:
        """Keep a value for the tag that takes it in; the name under which it is kept."""
        name = f"part{len(self.kept)}"
        self.kept[name] = value
        return name


def _real(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(path))


def _roots(given: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The folders of the files, and the deepest one that holds them all, unless that is a user's whole home or more."""
    folders = list(dict.fromkeys(_real(path).parent for path in given))
    if len(folders) > 1:
        common = Path(os.path.commonpath(folders))
        home = _real(Path.home())
        if len(common.parts) > 2 and common != home and common not in home.parents:
            return [common]
    return folders


class _Source:
    """One file that is being read, and the folders that it looks in."""

    def __init__(self, sources: Sources, path: Path, folders: list[Path], depth: int) -> None:
        self.sources = sources
        self.path = path
        self.folders = folders
        self.depth = depth
        self.name = os.fspath(path)

    def document(self) -> Field:
        return parse_document(self.rendered(), self.name, self)

    def rendered(self) -> str:
        """The text, rendered where it is a template."""
        if self.depth > MAX_DEPTH:
            raise HwsimError(f"files included in one another more than {MAX_DEPTH} deep; one includes itself.",
                             where=self.name)  # fmt: skip
        text = self.sources.text(self.path, self.name)
        if is_template(text):
            text = render(text, self.name, self.sources.data, self._functions(), self.sources.account)
        # the older way to take a file in: its text in place of a line
        return _INCLUDE_LINE.sub(lambda line: self.include_text(line[1]), text)

    def _functions(self) -> dict[str, Callable[..., Any]]:
        """What the front end of Timeloop lets a template call."""
        return {
            "add_to_path": self.add_to_path,
            "cwd": self.folder,
            "find_path": self.find_path,
            "find_paths": self.find_paths,
            "include": self.include,
            "include_all": self.include_all,
            "include_text": self.include_text,
            "path_exists": self.path_exists,
            "setenv": self.setenv,
        }

    def folder(self) -> str:
        """The folder of this file."""
        return os.fspath(_real(self.path).parent)

    def add_to_path(self, name: str) -> str:
        """Look in a folder, too, from here on."""
        found = self._found(name, folders=True)
        if not found:
            raise self._missing(name)
        self.folders += found
        return ""

    def find_paths(self, name: str) -> list[str]:
        """The files and folders that a name or pattern stands for."""
        found = self._found(name, folders=True)
        if not found:
            raise self._missing(name)
        return [os.fspath(path) for path in found]

    def find_path(self, name: str) -> str:
        """The first of `find_paths`."""
        return self.find_paths(name)[0]

    def path_exists(self, name: str) -> bool:
        """Whether a name stands for a file or folder that may be read."""
        return bool(self._found(name, folders=True))

    def setenv(self, name: str, value: object) -> str:
        """Environment variables are Timeloop's; none is set here."""
        note(f"setenv('{name}') has no effect.", self.name)
        return ""

    def include(self, name: str, keys: str = "") -> str:
        """A tag for the part ``keys`` (``a.b``) of one file."""
        return f"!{INCLUDED} {self.sources.keep(_part(self._one(name).document(), keys))}"

    def include_all(self, name: str, keys: str = "") -> str:
        """A tag for that part of all files that a pattern stands for: its value where it is one file, else a list."""
        found = [_part(source.document(), keys) for source in self._all(name)]
        whole = (
            found[0] if len(found) == 1 else Field([Included(x.value, x.file, x.path) for x in found], self.name, name)
        )
        return f"!{INCLUDED} {self.sources.keep(whole)}"

    def include_text(self, name: str) -> str:
        """The rendered text of files."""
        return "\n".join(source.rendered() for source in self._all(name))

    # for tags: hwsim.spec.document.Includes

    def included(self, name: str, file: str) -> Field:
        return self._one(name).document()

    def included_folder(self, name: str, file: str) -> list[Field]:
        return [source.document() for source in self._all(f"{escape(name)}/*.yaml")]

    def included_before(self, name: str) -> Field | None:
        return self.sources.kept.get(name)

    def _one(self, name: str) -> _Source:
        found = self._found(name)
        if not found:
            raise self._missing(name)
        first = [path for path in found if path.parent == found[0].parent]
        if len(first) > 1 and _is_pattern(name):
            raise HwsimError(f"'{name}' stands for {len(first)} files; include_all takes them all.", where=self.name)
        return self._inside(found[0])

    def _all(self, name: str) -> list[_Source]:
        found = self._found(name)
        if not found:
            raise self._missing(name)
        return [self._inside(path) for path in found]

    def _inside(self, path: Path) -> _Source:
        return _Source(self.sources, path, list(self.folders), self.depth + 1)

    def _found(self, name: Any, *, folders: bool = False) -> list[Path]:
        """What a name stands for: beside this file first, then in added folders; only what may be read."""
        if not isinstance(name, str) or not 0 < len(name) < MAX_NAME or "\0" in name:
            raise HwsimError(f"expected the name of a file, found {name!r:.60}.", where=self.name)
        places = [Path(self.folder()), *self.folders]
        if name in self.sources.named:  # by the user, from where he stands
            places.append(Path.cwd())
        if os.path.isabs(name):
            places = [Path("/")]
        out: list[Path] = []
        outside = ""
        for place in dict.fromkeys(places):
            for path in self._candidates(place, name):
                if not self.sources.allowed(path):
                    outside = outside or os.fspath(path)
                elif path not in out and path.exists() and (folders or not path.is_dir()):
                    out.append(path)
        if outside and not out:
            raise HwsimError(
                f"'{name}' lies outside the folders of the files that are given; name its folder with --include.",
                where=self.name,
            )
        return out

    def _candidates(self, place: Path, name: str) -> list[Path]:
        if not _is_pattern(name):
            return [_real(place / name)]
        fixed = re.split(r"[*?\[]", name, maxsplit=1)[0].rpartition("/")[0]
        if not self.sources.allowed(place / fixed):
            return [_real(place / fixed)]
        return [_real(path) for path in sorted(glob(os.path.join(escape(os.fspath(place)), name)))]

    def _missing(self, name: str) -> HwsimError:
        beside = Path(self.folder())
        known = [path.name for path in beside.iterdir()] if _is_plain(name) else []
        return HwsimError(
            f"the file '{name}' is neither beside this one nor in an added folder.{did_you_mean(name, known)}",
            where=self.name,
        )


def _is_pattern(name: str) -> bool:
    return bool(re.search(r"[*?\[]", name))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_plain(name: str) -> bool:
    return "/" not in name and not _is_pattern(name)


def _part(document: Field, keys: str) -> Field:
    """The value at ``a.b`` of a document."""
    found = document
    for key in filter(None, str(keys).split(".")):
        if not isinstance(found.plain, dict):
            found.fail(f"'{keys}' asks for '{key}' of what is no mapping.")
        if key not in found.plain:
            found.fail(f"'{key}' of '{keys}' is missing.{did_you_mean(key, filter(_is_text, found.plain))}")
        found = found.key(key)
    return found
