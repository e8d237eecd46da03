"""Compile the kernels on two cores: the first run on a machine waits for the compiler more than for anything else.

The counting kernels and the search kernels do not need one another. Where neither has been compiled yet, the
counting kernels are compiled by a second process while this one goes on to the search; the compiled code
is found on disk when it is needed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def start() -> None:
    """Start compiling the counting kernels in the background, unless they are compiled already."""
    from hwsim import counting

    store = Path(counting.count_data_space._cache.cache_path)  # type: ignore[attr-defined]
    if not any(store.glob("counting.count_data_space-*.nbi")):
        subprocess.Popen(
            [sys.executable, "-m", "hwsim.warm"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def compile_counting() -> None:
    """Price one tiny mapping, so that every counting kernel is compiled and kept."""
    from hwsim.mapping import LevelMapping, Mapping
    from hwsim.model import evaluate
    from hwsim.spec import load_architecture
    from workloads.problem import conv

    architecture, energy = load_architecture("simple_ws")
    problem = conv({})
    everything = frozenset(x.name for x in problem.data_spaces)
    levels = tuple(
        LevelMapping(x.name, keep=everything if k == 0 else x.constraints.keep)
        for k, x in enumerate(architecture.levels)
    )
    evaluate(problem, architecture, Mapping(levels), energy)


if __name__ == "__main__":
    compile_counting()
