"""Compile the kernels on two cores: the first run on a machine waits for the compiler more than for anything else.

Where the kernels have not been compiled yet, a second process compiles those that the search reaches last, while
this one goes on to those that it needs first; compiled code is found on disk when it is needed.
"""

from __future__ import annotations

import functools

import numpy as np

from hwsim import counting, processes
from hwsim.design import load_architecture
from hwsim.kernel import on_disk
from hwsim.mapper import search
from hwsim.mapper.grow import close_level
from hwsim.mapper.label import LABEL, ORIGIN, TILE, Labels, new_cursor
from hwsim.mapper.lower import kernel_space
from hwsim.mapper.outer import complete
from hwsim.mapper.space import map_space
from hwsim.mapping import LevelMapping, Mapping
from hwsim.model import evaluate
from hwsim.workloads.problem import conv


def compiled() -> bool:
    """Whether the kernels are on disk, or cannot be kept there."""
    return on_disk(counting.count_data_space)


def compile_all() -> None:
    """Have every kernel on disk, so that processes started afterwards need not compile them, all at once."""
    if compiled():
        return

    start()
    search(conv({"C": 16, "M": 16, "R": 3, "P": 8}), *load_architecture("simple_ws"))


@functools.cache
def start() -> None:
    """Start compiling in the background, unless it has been done; once in a process."""
    if not compiled():
        processes.background("hwsim.warm")


def compile_last() -> None:
    """Call the counting kernels and the last ones of the search on a tiny problem: they are compiled and kept."""
    architecture, energy = load_architecture("simple_ws")
    problem = conv({})
    everything = frozenset(x.name for x in problem.data_spaces)
    levels = tuple(
        LevelMapping(x.name, keep=everything if k == 0 else x.constraints.keep)
        for k, x in enumerate(architecture.levels)
    )
    evaluate(problem, architecture, Mapping(levels), energy)

    space = map_space(conv({"C": 2}), architecture)
    arrays = kernel_space(space, energy)
    spaces = len(problem.data_spaces)
    table = Labels(np.zeros(1, LABEL), np.zeros((1, spaces), TILE), np.zeros(1, ORIGIN))
    for name in LABEL.names or ():
        if LABEL[name] == np.float64:
            table.label[name] = 1.0
    table.tile["pending"] = 1.0
    child, keep = np.full(spaces, -1, np.int64), np.ones(spaces, np.bool_)
    parents = np.ones((spaces, len(architecture.levels)), np.bool_)
    complete(arrays, np.zeros((1, 1), np.int64), table, child, keep, np.inf)
    head = np.full(int(np.prod(arrays.keys.ndiv)), -1, np.int64)
    state = (np.empty(1), np.zeros(1, np.int64), head, new_cursor(), np.zeros(2))
    close_level(arrays, 1, table, *state, child, keep, child, parents, np.inf, True)


if __name__ == "__main__":
    processes.end_with_starter()
    compile_last()
