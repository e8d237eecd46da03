"""The command line: the one place that prints and exits; commands are loaded when they are used (`commands`).

Exit codes: 0 done; 1 done, and what was checked does not agree (`simulate`, `systolic --step`); 2 a mistake in the
input, or a file that cannot be read or written; 70 a fault of hwsim itself; 130 interrupted; 141 nobody reads the
output.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from contextlib import suppress
from typing import Annotated, Any

import typer

from hwsim.cli.commands import Commands
from hwsim.cli.signals import signals_end
from hwsim.errors import HwsimError, printable

app = typer.Typer(
    name="hwsim",
    cls=Commands,
    help="What a neural network costs on an accelerator: cycles, energy, utilization, under proved best mappings.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FAULT, INTERRUPTED, CLOSED, TERMINATED = 70, 130, 141, 143
#: What a wrong command line raises, of the click that typer carries.
_WRONG_USE: type[Exception] = typer.BadParameter.__bases__[0]


def _show_version(wanted: bool) -> None:
    if wanted:
        from hwsim.provenance import version

        print(f"hwsim {version()}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """What a neural network costs on an accelerator: cycles, energy, utilization, under proved best mappings."""


def main() -> None:
    """Run a command. A user's mistake is one message; so is a fault of hwsim, whose traceback goes into a file."""
    _prepare_streams()
    try:
        with signals_end():
            code = app(standalone_mode=False)
        sys.stdout.flush()
    except HwsimError as error:
        code = _say(str(error), 2)
    except KeyboardInterrupt:
        code = _say("interrupted.", INTERRUPTED)
    except SystemExit as end:  # typer turns the first broken pipe into one, too
        code = end.code if end.code == TERMINATED else CLOSED
    except BrokenPipeError:
        code = CLOSED
    except Exception as error:
        if isinstance(error, _WRONG_USE):
            code = _wrong_use(error)
        elif isinstance(error, OSError) and error.strerror:  # a file that went away, a full disk; unnamed: the output's
            place = printable(error.filename or "the output cannot be written")
            code = _say(f"{place}: {error.strerror.lower()}.", 2)
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
    """A message on stderr; in a terminal its lines end between words."""
    text = f"hwsim: {text}"
    if sys.stderr.isatty():
        width = max(40, shutil.get_terminal_size().columns)
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
    return code


def _wrong_use(error: Exception) -> int:
    """A wrong command line; `hwsim` without a command shows what there is."""
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(context.get_help(), end="")
        return 2
    command = context.command_path if context is not None else "hwsim"
    text = printable(error.format_message()).replace(": Value error, ", ": ")  # type: ignore[attr-defined]
    stop = "" if text.endswith((".", "?")) else "."
    return _say(f"{text}{stop} See {command} --help.", 2)


def _fault(error: Exception) -> int:
    """What is unexpected: a line that says so, and a file with the traceback."""
    import shlex
    import tempfile
    import traceback

    from hwsim.provenance import version

    what = "there is not enough memory" if isinstance(error, MemoryError) else f"{type(error).__name__}: {error}"
    try:
        handle, name = tempfile.mkstemp(prefix="hwsim-fault-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"hwsim {version()}: {shlex.join(sys.argv)}\n\n")
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
