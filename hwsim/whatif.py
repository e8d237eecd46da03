"""What if: the same network on changed architectures, priced and mapped anew, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwsim.cost import LayerCost, NetworkCost
from hwsim.design import load_design
from hwsim.design.settings import Setting
from hwsim.errors import HwsimError
from hwsim.hardware import Design
from hwsim.network import Hints, profile_workload
from hwsim.objective import EDP, Objective
from hwsim.shown import Shown
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.workload import Workload

#: called with (layers done, layers, name of the column)
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Variant:
    """One column of a study.

    Attributes:
        name: ``as is``, the settings, or ``all together``.
        settings: what differs from the architecture as it is.
        design / cost: the design, and the network on it.
    """

    name: str
    settings: tuple[Setting, ...]
    design: Design
    cost: NetworkCost

    def __repr__(self) -> str:
        return f"Variant({self.name}: {self.cost!r})"


class Study(Shown, list[Variant]):
    """The columns of a study; the first is the architecture as it is."""

    @property
    def prices(self) -> str:
        """Where the prices of all columns come from, in a sentence."""
        return f"All columns are priced by hwsim's own estimates{_not_by(self[0].design)}."

    def __repr__(self) -> str:
        return f"Study({', '.join(repr(v) for v in self)})"


def parse_group(text: str) -> tuple[Setting, ...]:
    """Settings of one column, separated by commas."""
    return tuple(Setting.parse(part) for part in text.split(","))


def columns(groups: Sequence[tuple[Setting, ...]]) -> list[tuple[str, tuple[Setting, ...]]]:
    """The columns of a study: as it is, every group, and all groups together where none contradicts another."""
    out: list[tuple[str, tuple[Setting, ...]]] = [("as is", ())]
    out += [(", ".join(map(str, group)), group) for group in groups]
    every = tuple(setting for group in groups for setting in group)
    targets = [(s.component, s.name) for s in every]
    if len(groups) > 1 and len(set(targets)) == len(targets):
        out.append(("all together", every))
    return out


def study(
    model: Workload | str | Path,
    arch: str,
    groups: Sequence[str | tuple[Setting, ...]],
    objective: str | Objective = EDP,
    *,
    jobs: int = 1,
    use_cache: bool = True,
    progress: Progress | None = None,
) -> Study:
    """Cost of a network on an architecture as it is and changed.

    Args:
        model: a network that was read already, or an ONNX file.
        arch: name of a shipped architecture, or an architecture file.
        groups: a column each; text is settings separated by commas, ``shared_glb.depth=8192,PE.meshX=32``.
        objective: see `hwsim.objective.Objective.parse`.
        jobs / use_cache: as in `hwsim.network.profile`.
        progress: called with (layers done, layers, name of the column).

    All columns are priced by hwsim's own estimators, the unchanged one, too, so that a published table's
    rounding does not look like an effect.

    Raises:
        HwsimError: a setting is wrong, or a layer fits no mapping (says which column).
    """
    workload = model if isinstance(model, Workload) else read_onnx(model, {})
    wanted = columns([parse_group(group) if isinstance(group, str) else group for group in groups])
    designs = [load_design(arch, settings, own_prices=True) for _, settings in wanted]
    out, hints = Study(), Hints()
    for (name, settings), design in zip(wanted, designs, strict=True):
        tell = None if progress is None else lambda done, total, _, name=name: progress(done, total, name)
        try:
            cost = profile_workload(
                workload, design, objective, jobs=jobs, use_cache=use_cache, progress=tell, hints=hints
            )
        except HwsimError as error:
            raise HwsimError(error.message, where=f"{name}: {error.where}") from error
        out.append(Variant(name, settings, design, cost))
    return out


def _not_by(design: Design) -> str:
    return f", not by {design.instead_of}, which holds for the design as it is alone" if design.instead_of else ""


def price_note(design: Design, unchanged: Callable[[], NetworkCost | None]) -> tuple[str, ...]:
    """What to say where a changed design is priced by another source than the design as it is; else nothing.

    Args:
        design: the changed design.
        unchanged: cost of the design as it is, on hwsim's own estimates too; None where there is none.
    """
    if not design.instead_of:
        return ()
    said = f"priced by hwsim's own estimates{_not_by(design)}"
    cost = unchanged()
    if cost is not None:
        figures = f"{cost.energy_pj * 1e-6:,.4g} µJ and {cost.cycles:,} cycles"
        said += f"; on these estimates the design as it is takes {figures} for {cost.model}"
    return (said,)


def limited_by(cost: LayerCost) -> str:
    """What sets a layer's cycles: the storage whose bandwidth does, or the array itself."""
    slowest = max(cost.levels, key=lambda level: level.cycles)
    return slowest.name if slowest.throttling < 1 else "array"
