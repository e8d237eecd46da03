"""The command line: the one place that prints and exits; heavy modules are imported where they are used.

Exit codes: 0 done; 1 done, and what was checked does not agree (`simulate`, `systolic --step`); 2 a mistake in the
input, or a file that cannot be read or written; 70 a fault of hwsim itself; 130 interrupted; 141 nobody reads the
output.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from hwsim.cli import compare, explore, profile, score, simulate, specs, systolic, train, whatif
from hwsim.errors import HwsimError, printable

app = typer.Typer(
    name="hwsim",
    help="What a neural network costs on an accelerator: cycles, energy, utilization, under proved best mappings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(profile.profile)
app.command()(whatif.whatif)
app.command()(compare.compare)
app.command()(simulate.simulate)
app.command()(explore.explore)
app.command()(specs.archs)
app.command()(specs.energy)
app.command()(specs.zoo)
app.command()(specs.evaluate)
app.command("map")(specs.map_command)
app.command()(score.score)
app.command()(systolic.systolic)
app.command()(train.train)

FAULT, INTERRUPTED, CLOSED = 70, 130, 141
#: What a wrong command line raises, of the click that typer carries.
_WRONG_USE: type[Exception] = typer.BadParameter.__bases__[0]


def _version(wanted: bool) -> None:
    if wanted:
        import hwsim

        print(f"hwsim {hwsim.__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """What a neural network costs on an accelerator: cycles, energy, utilization, under proved best mappings."""


def main() -> None:
    """Run a command. A user's mistake is one message; so is a fault of hwsim, whose traceback goes into a file."""
    _prepare_streams()
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except HwsimError as error:
        code = _say(str(error), 2)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (SystemExit, BrokenPipeError):  # typer turns the first broken pipe into an exit
        code = CLOSED
    except Exception as error:
        if isinstance(error, _WRONG_USE):
            code = _wrong_use(error)
        elif isinstance(error, OSError):  # of a file that went away or a disk that is full; without name, the output
            code = _say(f"{printable(error.filename or 'output')}: {error.strerror or error}.", 2)
        else:
            code = _fault(error)
    if code:
        _abandon_output()
    sys.exit(code if isinstance(code, int) else 0)


def _prepare_streams() -> None:
    """What a stream's encoding lacks is written as an escape; a stream that is closed takes what it is given."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _say(text: str, code: int) -> int:
    with suppress(OSError):
        print(f"hwsim: {text}", file=sys.stderr, flush=True)
    return code


def _wrong_use(error: Exception) -> int:
    """A wrong command line; `hwsim` without a command shows what there is."""
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(context.get_help(), file=sys.stderr)
        return 2
    command = context.command_path if context is not None else "hwsim"
    text = printable(error.format_message())  # type: ignore[attr-defined]
    stop = "" if text.endswith((".", "?")) else "."
    return _say(f"{text}{stop} {command} --help shows what there is.", 2)


def _fault(error: Exception) -> int:
    """What is unexpected: a line that says so, and a file with the traceback."""
    import shlex
    import tempfile
    import traceback

    import hwsim

    what = "there is not enough memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}"
    try:
        handle, name = tempfile.mkstemp(prefix="hwsim-fault-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"hwsim {hwsim.__version__}: {shlex.join(sys.argv)}\n\n")
            file.writelines(traceback.format_exception(error))
        kept = f"The traceback is in {name}; please report it."
    except OSError as failed:
        kept = f"The traceback could not be kept: {failed.strerror}."
    return _say(f"unexpected, a fault of hwsim: {printable(what, 300)}. {kept}", FAULT)


def _abandon_output() -> None:
    """Leave nothing for the interpreter to flush, where nobody can take it."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
