"""`hwsim compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.shared import check_outputs, show, write_plots
from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.provenance import Inputs, command, file_sha256
from hwsim.reports import terminal
from hwsim.reports.columns import columns_csv
from hwsim.reports.markdown import columns_markdown
from hwsim.reports.saved import PRICES, read_profiles


def compare(
    files: Annotated[list[Path], typer.Argument(help="Files of `hwsim profile --json`; the first is compared with.")],
    csv: Annotated[Path | None, typer.Option(help="Write a line per layer and file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown tables.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to look at, one file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write the figures as PNG and SVG into a folder.")] = None,
) -> None:
    """Saved profiles side by side, in total and layer by layer."""
    if len(files) < 2:
        raise HwsimError("expected at least two files to compare.", where=str(files[0]))
    quiet = check_outputs(csv=csv, markdown=markdown, html=html, plots=plots)
    columns = read_profiles(files)
    if csv is not None:
        write_file(csv, columns_csv(columns))
    if markdown is not None:
        write_file(markdown, columns_markdown(columns))
    if html is not None:
        from hwsim.reports.html.columns import columns_page

        inputs = Inputs(command("compare", *map(str, files)), tuple((str(f), file_sha256(f)) for f in files))
        write_file(
            html, columns_page(columns, "Comparison", "; ".join(c.name for c in columns), inputs, notes=[PRICES])
        )
    if plots is not None:
        from hwsim.reports.plots import columns_plots

        write_plots(plots, columns_plots(columns))
    if not quiet:
        show(terminal.columns_report(columns), PRICES)
