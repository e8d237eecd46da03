"""Runs one input through a command in this process, and says what is wrong with what came of it."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import shutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.kinds import Case, run_command

ROOT = Path(__file__).parent.parent.parent
MOST_MESSAGE = 4000  # characters
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Fault:
    """What is wrong with an outcome.

    Attributes:
        what: ``traceback``, ``crash``, ``hang``, ``memory``, ``absurd``, ``message`` or ``refused``.
        where: what tells it from other faults: the exception and the place in the project that it came through.
        text: all that is known.
    """

    what: str
    where: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """Exit code and faults of one run."""

    code: int
    faults: tuple[Fault, ...]


def run(case: Case, folder: Path) -> Outcome:
    """Run a case in a folder, which is emptied first."""
    for entry in folder.iterdir():
        if entry.name != "cache":
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    before = Path.cwd()
    os.chdir(folder)
    out, err = _stream("strict"), _stream("backslashreplace")
    error: BaseException | None = None
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _watched() as seen:
            code = _run_recipe(case.argv[1]) if case.argv[0] == "(recipe)" else run_command(case.argv)
            error = seen[0] if seen and code not in (0, 2) else None
    except BaseException as caught:
        error, code = caught, 1
    finally:
        os.chdir(before)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(errors="replace"))  # type: ignore[attr-defined]
    return Outcome(code, tuple(_faults(case, folder, code, error, *texts)))


def _stream(errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)


@contextlib.contextmanager
def _watched() -> Iterator[list[BaseException]]:
    """What leaves a command before the command line tells the user, so that a swallowed exception is still named."""
    import hwsim.cli

    app, seen = hwsim.cli.app, []

    def recording(*args: Any, **kwargs: Any) -> Any:
        try:
            return app(*args, **kwargs)
        except BaseException as error:
            if not isinstance(error, SystemExit):
                seen.append(error)
            raise

    hwsim.cli.app = recording  # type: ignore[assignment]
    try:
        yield seen
    finally:
        hwsim.cli.app = app


def _run_recipe(name: str) -> int:
    from hwsim.errors import HwsimError
    from hwsim.trainers.recipe import load_recipe

    try:
        load_recipe(name)
    except HwsimError as error:
        print(f"hwsim: {error}", file=sys.stderr)
        return 2
    return 0


def _faults(case: Case, folder: Path, code: int, error: BaseException | None, out: str, err: str) -> Iterator[Fault]:
    if error is not None or code not in (0, 2):
        text = "".join(traceback.format_exception(error)) if error is not None else out[-2000:] + err[-2000:]
        where = f"{type(error).__name__} in {_place(error)}" if error is not None else f"exit code {code}"
        yield Fault("traceback", where, text)
        return
    if code == 2:
        yield from _message(err, case.argv[0])
        if case.macs is not None:
            yield Fault("refused", f"a well-formed network: {_general(err)}", err)
        return
    if _CONTROL.search(out + err):
        yield Fault("message", f"{case.argv[0]}: control characters reach the terminal", ascii(out + err))
    for name, right in case.truth.items():
        found = (folder / name).read_bytes()
        if found != right:
            yield Fault(
                "absurd", f"{case.kind}: another result than from undamaged files", found.decode(errors="replace")
            )
    if case.result:
        text = out if case.result == "-" else (folder / case.result).read_text(encoding="utf-8")
        yield from _absurd(case, text)


def _place(error: BaseException) -> str:
    """The innermost line of the project that an exception came through."""
    found = "outside the project"
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and "site-packages" not in path.parts and not path.is_relative_to(ROOT / "tests"):
            found = f"{path.relative_to(ROOT)}:{frame.name}"
    return found


def _general(message: str) -> str:
    """A message without what is special to an input."""
    return re.sub(r"'[^']*'|\[[^\]]*\]|\d+", "…", message.strip().splitlines()[0] if message.strip() else "")[:120]


def _message(err: str, command: str) -> Iterator[Fault]:
    """A user's mistake is told in one line; a wrong use of options in the command line's own box."""
    text = err.strip()
    if not text:
        yield Fault("message", f"{command}: no message", err)
    if "Traceback (most recent call last)" in text:
        yield Fault("message", f"{command}: a traceback in the message", err)
    if _CONTROL.search(text):
        yield Fault("message", f"{command}: control characters in the message", ascii(err))
    if text.startswith("Usage:"):
        return
    if len(text.splitlines()) > 1:
        yield Fault("message", f"{command}: a message of several lines", ascii(err))
    if len(text) > MOST_MESSAGE:
        yield Fault("message", f"{command}: a message of more than {MOST_MESSAGE} characters", err)


# --- results ------------------------------------------------------------------------

#: Counts and sums that may not be below zero, wherever they stand in a result.
_COUNTS = re.compile(
    r"(energy|leak|_pj|cycles|macs|params|bytes|reads|fills|updates|utilization|throttling|instances|count|computes|macs|bound|gap|area|space_size)"
)


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _numbers(below, f"{path}.{key}")
    elif isinstance(value, list):
        for below in value:
            yield from _numbers(below, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def _constant(text: str) -> float:
    raise ValueError(text)


def _absurd(case: Case, text: str) -> Iterator[Fault]:
    command = case.argv[0]
    try:
        result = json.loads(text, parse_constant=_constant)
    except ValueError as error:
        yield Fault("absurd", f"{command}: no JSON, or {error} in it"[:80], text)
        return
    for path, value in _numbers(result):
        last = path.rpartition(".")[2]
        if not math.isfinite(value):
            yield Fault("absurd", f"{command}: {last} is {value}", f"{path} = {value}\n{text}")
            return
        # changes and differences have a sign
        if value < 0 and _COUNTS.search(last) and command != "whatif" and ".lines." not in path:
            yield Fault("absurd", f"{command}: negative {last}", f"{path} = {value}\n{text}")
            return
        if last == "utilization" and value > 1 + 1e-9:
            yield Fault("absurd", f"{command}: utilization above 1", f"{path} = {value}\n{text}")
            return
    for part in _parts(command, result):
        work = part.get("macs", part.get("computes", 1))
        for name in ("cycles", "energy_pj", "utilization"):
            if work and part.get(name) == 0 and not (name == "energy_pj" and case.free):
                yield Fault("absurd", f"{command}: {name} is 0 with work to do", text)
                return
    if case.macs is not None and command == "profile" and result["totals"]["macs"] != case.macs:
        found = result["totals"]["macs"]
        yield Fault(
            "absurd", "profile: another number of multiplications than in the network", f"{found}, right {case.macs}"
        )


def _parts(command: str, result: Any) -> list[dict[str, Any]]:
    """Those parts of a result that have cycles and energy."""
    if command == "profile":
        return [result["totals"], *result["layers"]]
    found = result if isinstance(result, list) else [result]
    return [x for x in found if isinstance(x, dict) and "cycles" in x and "error" not in x]
