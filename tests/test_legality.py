"""What rules a mapping out, on both sides of every limit: the model and the array simulator's plan must agree."""

from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.architecture import Architecture, Compute, Constraints, Fanout, Storage
from hwsim.array.plan import Plan, plan
from hwsim.cost import Illegal, LayerCost
from hwsim.design import load_architecture, load_specs
from hwsim.energy import Action, EnergyTable
from hwsim.errors import HwsimError
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate
from hwsim.workloads.problem import matmul

ALL = frozenset({"Weights", "Inputs", "Outputs"})
TABLE = EnergyTable(
    {name: {action: Action(1.0) for action in ("read", "write", "update", "leak")} for name in ("DRAM", "buffer")}
    | {"mac": {"compute": Action(1.0)}},
    {},
)


def design(
    *, depth: int | None = None, mesh: tuple[int, int] = (4, 3), buffer: float = 0.0, array: float = 0.0
) -> Architecture:
    levels = (
        Storage("DRAM", "DRAM", None, 16, 16, 1),
        Storage("buffer", "SRAM", depth, 16, 16, 1, constraints=Constraints(min_utilization=buffer)),
        Fanout("PE", *mesh, Constraints(min_utilization=array)),
    )
    return Architecture("small", levels, Compute("mac", "intmac"))


def nest(x: int = 2, y: int = 3, held: int = 4) -> Mapping:
    """matmul of M=x·held, C=y: ``held`` rows of M in the buffer's time, x along X, y along Y."""
    return Mapping(
        (
            LevelMapping("DRAM", keep=ALL),
            LevelMapping("buffer", (Loop("M", held),), keep=ALL),
            LevelMapping("PE", spatial=(Loop("C", y, "Y"), Loop("M", x, "X"))),
        )
    )


def verdicts(architecture: Architecture, mapping: Mapping, m: int, c: int) -> Illegal | None:
    """The reason that the model gives, the same as the plan's."""
    problem = matmul({"M": m, "C": c})
    cost = evaluate(problem, architecture, mapping, TABLE)
    planned = plan(problem, architecture, mapping)
    if isinstance(cost, LayerCost):
        assert isinstance(planned, Plan)
        return None
    assert isinstance(planned, Illegal)
    assert (cost.level, cost.reason, cost.needed, cost.available) == (
        planned.level,
        planned.reason,
        planned.needed,
        planned.available,
    )
    return cost


def test_utilization_of_a_fan_out() -> None:
    """6 of 12 instances are in use: a half is enough, anything above is not."""
    assert verdicts(design(array=0.5), nest(), 8, 3) is None
    fault = verdicts(design(array=0.51), nest(), 8, 3)
    assert fault is not None and fault.level == "PE" and "min_utilization" in fault.reason
    assert (fault.needed, fault.available) == (7, 6)  # 0.51 · 12 = 6.12


@pytest.mark.parametrize(("share", "columns", "used"), [(0.07, 100, 7), (0.14, 50, 7), (0.29, 100, 29), (1.0, 5, 5)])
def test_utilization_is_meant_as_written(share: float, columns: int, used: int) -> None:
    """0.07 × 100 is 7.000000000000001 in doubles; 7 of 100 are 7%."""
    wide = design(mesh=(columns, 1), array=share)
    assert verdicts(wide, nest(x=used, y=1, held=1), used, 1) is None
    assert verdicts(wide, nest(x=used - 1, y=1, held=1), used - 1, 1) is not None


def test_utilization_of_a_storage() -> None:
    """Weights 8·3, inputs 3, outputs 8: 35 words."""
    assert verdicts(design(depth=70, buffer=0.5), nest(), 8, 3) is None
    fault = verdicts(design(depth=71, buffer=0.5), nest(), 8, 3)
    assert fault is not None and (fault.level, fault.needed, fault.available) == ("buffer", 36, 35)
    assert verdicts(design(depth=None, buffer=0.5), nest(), 8, 3) is None, "a share of what has no end is no limit"


def test_capacity_exceeded_by_one() -> None:
    assert verdicts(design(depth=35), nest(), 8, 3) is None
    fault = verdicts(design(depth=34), nest(), 8, 3)
    assert fault is not None and (fault.level, fault.needed, fault.available) == ("buffer", 35, 34)


@pytest.mark.parametrize("mesh", [(1, 3), (2, 2)])
def test_mesh_exceeded_by_one(mesh: tuple[int, int]) -> None:
    assert verdicts(design(mesh=(2, 3)), nest(), 8, 3) is None
    fault = verdicts(design(mesh=mesh), nest(), 8, 3)
    assert fault is not None and fault.level == "PE" and fault.needed == fault.available + 1
    assert ("X" if mesh[0] == 1 else "Y") in fault.reason


def test_factors_off_by_one() -> None:
    for m, c in ((7, 3), (9, 3), (8, 2), (8, 4)):
        fault = verdicts(design(), nest(), m, c)
        assert fault is not None and "multiply to" in fault.reason and abs(fault.needed - fault.available) == 1


def test_bounds_below_one() -> None:
    """−2 · −4 is 8, and no loop."""
    fault = verdicts(design(), nest(x=-2, held=-4), 8, 3)
    assert fault is not None and (fault.level, fault.needed, fault.available) == ("buffer", 1, -4)


def test_a_data_space_that_nobody_keeps() -> None:
    nowhere = Mapping(tuple(replace(x, keep=x.keep - {"Inputs"}) for x in nest().levels))
    cost = evaluate(matmul({"M": 8, "C": 3}), design(), nowhere, TABLE)
    assert isinstance(cost, Illegal) and (cost.data_space, cost.needed, cost.available) == ("Inputs", 1, 0)


def test_share_of_a_tile_is_exact() -> None:
    """13 / 1.3 is 10 words; 2^60 words stay 2^60."""
    buffer = Storage("buffer", "SRAM", 13, 16, 16, 1, multiple_buffering=1.3)
    assert buffer.capacity == 10
    assert replace(buffer, depth=2**60 + 1, multiple_buffering=1.0).capacity == 2**60 + 1


UTILIZATION = """
arch: simple_ws
problem: {shape: matmul, instance: {M: 4, C: 2}}
constraints: {targets: [{target: PE, type: utilization, min: SHARE}]}
mapping:
- {target: shared_glb, type: temporal, factors: M=2}
- {target: inter_PE_spatial, type: spatial, factors: C=2 M=2, permutation: CM, split: 1}
"""


def test_utilization_from_a_file(tmp_path: Path) -> None:
    """4 of 256 PEs are 0.015625."""
    for share, legal in (("0.015625", True), ("0.0157", False)):
        path = tmp_path / "spec.yaml"
        path.write_text(UTILIZATION.replace("SHARE", share))
        (spec,) = load_specs([path])
        assert spec.mapping is not None
        cost = evaluate(spec.problem, spec.architecture, spec.mapping, spec.energy)
        assert isinstance(cost, LayerCost) == legal


NODES = """
architecture:
  version: 0.4
  nodes:
  - !Container {name: system, attributes: {technology: 45nm, datawidth: 16}}
  - !Component {name: DRAM, class: DRAM, attributes: {type: LPDDR4, width: 64}}
  - !Container {name: PE, spatial: {meshX: 4}, constraints: {utilization: {min: 0.5}}}
  - !Component {name: spad, class: smartbuffer_RF, spatial: {meshX: 2}, attributes: {depth: 8, width: 16},
      constraints: {utilization: {min: 0.25}}}
  - !Component {name: mac, class: intmac, spatial: {meshY: 3}, attributes: {multiplier_width: 8, adder_width: 16},
      constraints: {utilization: {min: 0.75}}}
"""


def test_utilization_in_nodes_is_of_what_the_node_is(tmp_path: Path) -> None:
    """Of a container and of multipliers the instances, of a memory its capacity."""
    path = tmp_path / "nodes.yaml"
    path.write_text(NODES)
    architecture, _ = load_architecture(path)
    shares = {x.name: x.constraints.min_utilization for x in architecture.levels}
    assert shares == {"DRAM": 0, "PE": 0.5, "spad_instances": 0, "spad": 0.25, "mac_instances": 0.75}
    path.write_text(NODES.replace("depth: 8", "depth: 8, min_utilization: 1.01"))
    with pytest.raises(HwsimError, match=r"spad.*1\.01.*0 to 1"):
        load_architecture(path)
