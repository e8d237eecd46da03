"""What the commands share: output and progress; options are in `hwsim.cli.options`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from hwsim.errors import HwsimError, printable
from hwsim.files import check_writable, is_standard_output, write_file
from hwsim.spec.notes import collected


def unpriced_notes(unpriced: Mapping[str, str]) -> list[str]:
    """What components have no price, and why (`hwsim.energy.EnergyTable.unpriced`)."""
    return [f"'{name}' is not priced, energies are without it: {why}" for name, why in unpriced.items()]


@contextmanager
def notes_shown() -> Iterator[None]:
    """Show the notes on what is read inside, also where an error follows: a note may be its reason."""
    with collected() as notes:
        try:
            yield
        finally:
            show_notes(notes)


def show_notes(notes: Iterable[str], unpriced: Mapping[str, str] | None = None) -> None:
    """Tell on stderr what files say that is not acted on, and what has no price."""
    page = console(stderr=True)
    for text in [*notes, *unpriced_notes(unpriced or {})]:
        page.print(Text(printable(f"Note: {text}"), style="yellow"), soft_wrap=True)


PAGE_WIDTH = 170  # columns where the output is no terminal


def console(*, stderr: bool = False) -> Console:
    """The terminal on stdout (or stderr); a wide page where it is none.

    Plain text is text: what stands in square brackets or between colons is shown as it is, and made `printable`.
    """

    class Page(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    plain: dict[str, bool] = {"highlight": False, "markup": False, "emoji": False, "stderr": stderr}
    found = Page(**plain)  # type: ignore[arg-type]
    return found if found.is_terminal else Page(**plain, width=PAGE_WIDTH)  # type: ignore[arg-type]


def show(*parts: RenderableType) -> None:
    """Print on stdout."""
    page = console()
    for part in parts:
        page.print(part)


def check_outputs(**files: Path | str | None) -> bool:
    """Look at where results are to go, before the work begins; True where one goes to standard output.

    Where it is true, what people read is left out: standard output holds the result and nothing else.

    Args:
        files: option → file; ``plots`` is a folder.

    Raises:
        HwsimError: a file cannot be written, or two results go to one place.
    """
    given = {name: file for name, file in files.items() if file is not None}
    folder = given.pop("plots", None)
    if folder is not None and is_standard_output(folder):
        raise HwsimError("figures are several files; name a folder.", where=f"--plots {folder}")
    if folder is not None and os.path.exists(folder) and not os.path.isdir(folder):
        raise HwsimError("the folder cannot be made: something else has this name.", where=str(folder))
    taken: dict[str, str] = {}
    for name, file in given.items():
        check_writable(file)
        place = "-" if is_standard_output(file) else os.path.realpath(file)
        if place in taken:
            raise HwsimError(f"--{taken[place]} and --{name} would be written to one place.", where=str(file))
        taken[place] = name
    return "-" in taken


LINE_SECONDS = 60.0  # between two lines of progress where stderr is no terminal

#: called with (done, of how many, what is being done, or what says it where that costs something)
Tell = Callable[[int, int, str | Callable[[], str]], None]


@contextmanager
def progress_bar(title: str = "", *, lines: bool = False) -> Iterator[Tell]:
    """A progress bar on stderr, gone when the work is done.

    Args:
        title: before what the caller tells.
        lines: where stderr is no terminal, print a line a minute, so that a log shows life; silent otherwise.
    """
    page = console(stderr=True)
    if lines and not page.is_terminal:
        yield _lines(title)
        return
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (BarColumn(), MofNCompleteColumn(), *times, TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=page, transient=True, disable=not page.is_terminal) as bar:
        task = bar.add_task(printable(title, PAGE_WIDTH), total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=_text(title, name))


def _text(title: str, name: str | Callable[[], str]) -> str:
    return printable(f"{title} {name if isinstance(name, str) else name()}".strip(), PAGE_WIDTH)


def _lines(title: str) -> Tell:
    """Prints what is told and the time left, once a minute."""
    begun = (-1, 0, 0.0)  # total, done and time when this piece of work was first told of
    last, before = time.monotonic(), 0

    def tell(done: int, total: int, name: str | Callable[[], str]) -> None:
        nonlocal begun, last, before
        now = time.monotonic()
        if begun[0] != total or done < before:  # another piece of work
            begun = (total, done, now)
        before = done
        if now - last < LINE_SECONDS:
            return
        last = now
        left = ""
        if done > begun[1]:
            seconds = int((now - begun[2]) / (done - begun[1]) * (total - done))
            left = f" · {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"
        print(f"{_text(title, f'{done}/{total}')} {_text('', name)}{left}", file=sys.stderr, flush=True)

    return tell


def write_plots(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write figures into a folder, which is made where it is missing.

    Raises:
        HwsimError: the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HwsimError(f"the folder cannot be made: {error.strerror}.", where=str(folder)) from error
    for name, content in files.items():
        write_file(folder / name, content)
