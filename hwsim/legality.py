"""Whether a mapping can run: its factors, fan-outs, what is kept, and whether tiles fit.

Both the model and the array simulator ask here. Nothing is counted: how large tiles are each of them finds out by
itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Table

from hwsim.architecture import Architecture, Fanout, Storage
from hwsim.cost import Illegal
from hwsim.mapping import Mapping, covered, factors_fault
from hwsim.workloads.problem import Problem


def structure_faults(problem: Problem, architecture: Architecture, mapping: Mapping) -> Iterator[Illegal]:
    """What is wrong with the loops themselves, outermost level first, before anything is counted."""
    yield from _factor_faults(problem, mapping)
    for level, placed in zip(architecture.levels, mapping.levels, strict=True):
        mesh = {"X": level.mesh_x, "Y": level.mesh_y} if isinstance(level, Fanout) else {"X": 1, "Y": 1}
        for axis, there in mesh.items():
            wanted = math.prod(loop.bound for loop in placed.spatial if loop.axis == axis)
            if wanted > there:
                yield Illegal(level.name, "", f"the fan-out along {axis} is exceeded", wanted, there)
        used = math.prod(loop.bound for loop in placed.spatial)
        if isinstance(level, Fanout) and used < level.min_instances:
            reason = "fewer instances are in use than min_utilization asks for"
            yield Illegal(level.name, "", reason, level.min_instances, used)
    for data_space in problem.data_spaces:
        if not any(data_space.name in placed.keep for placed in mapping.levels):
            yield Illegal("", data_space.name, "no level keeps the data space", 1, 0)


def _factor_faults(problem: Problem, mapping: Mapping) -> Iterator[Illegal]:
    for placed in mapping.levels:
        for loop in (*placed.temporal, *placed.spatial):
            if loop.bound < 1:
                yield Illegal(placed.level, "", f"the bound of the loop over {loop.dim} is below 1", 1, loop.bound)
            elif not 1 <= loop.residual <= loop.bound:
                reason = f"the residual of the loop over {loop.dim} is not between 1 and its bound"
                yield Illegal(placed.level, "", reason, loop.residual, loop.bound)
    for name, size in problem.dims:
        found = factors_fault(name, size, mapping)
        if found:
            yield Illegal("", "", found, covered(mapping.over(name)), size)


def capacity_faults(architecture: Architecture, held: Sequence[Table[str, int]]) -> Iterator[Illegal]:
    """Storages that the tiles overfill, or fill too little, outermost first.

    Args:
        held: per level of the architecture: data space → words that one instance holds at a time.
    """
    for level, words in zip(architecture.levels, held, strict=True):
        if not isinstance(level, Storage) or level.capacity is None:
            continue
        needed = sum(words.values())
        if needed > level.capacity:
            largest = max(words, key=lambda name: words[name])
            yield Illegal(level.name, largest, "the tiles do not fit", needed, level.capacity)
        if needed < level.min_words:
            yield Illegal(level.name, "", "the tiles fill less than min_utilization asks for", level.min_words, needed)
