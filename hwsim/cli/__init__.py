"""The command line: the one place that prints and exits; heavy modules are imported where they are used."""

from __future__ import annotations

import sys

import typer

from hwsim.cli import compare, explore, profile, score, simulate, specs, systolic, train, whatif
from hwsim.cli.signals import signals_end
from hwsim.errors import HwsimError

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


def main() -> None:
    """Run a command; a user's mistake is one message and exit code 2."""
    try:
        with signals_end():
            app()
    except HwsimError as error:
        print(f"hwsim: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("hwsim: interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
