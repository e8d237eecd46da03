"""Results that show themselves: a table in Jupyter, a DataFrame of pandas.

How is known one floor above, by the module that the package's top names in `viewer`; results know no report.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

#: Module with ``html(result)`` and ``rows(result, **options)``.
viewer = ""


class Shown:
    """A result that Jupyter shows as a table."""

    def to_dataframe(self, **options: Any) -> pandas.DataFrame:
        """A DataFrame; needs pandas (extra ``notebook``).

        A network's cost has a row per distinct layer, with the figures of one occurrence; a layer's cost a row per
        level and data space; a what-if study a row per design or, with ``layers=True``, per design and layer; a
        score a row per criterion.

        Raises:
            HwsimError: pandas is not installed.
        """
        frame: pandas.DataFrame = import_module(viewer).data_frame(self, **options)
        return frame

    def _repr_html_(self) -> str:
        html: str = import_module(viewer).html(self)
        return html
