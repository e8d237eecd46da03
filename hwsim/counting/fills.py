"""How often a tile is fetched: a left fold over the loops around it, from the innermost outwards.

**Why no loop has to be walked.** Timeloop walks iterations 0 and 1 of every temporal loop and
counts iteration 1 ``bound − 1`` times. When loop *i* advances, every loop inside it has been left
at iteration 1 and is rewound, so the tile moves by ``t_i = v_i − Σ v_j`` over the loops *j* inside
*i* (``v`` is the move of one iteration), however often that happens. A tile keeps its overlap only if it moves as
it moved before; since the innermost moving loop *n* advances between any two advances of outer loops, the
move that is remembered is ``t_n`` or none. So a step of loop *i* fetches nothing where ``t_i = 0``,
the new part of the tile where ``t_i = t_n``, and the whole tile otherwise.

Hence the fold: a loop of bound *b* repeats what is inside it *b* times, and each of its ``b − 1`` steps spares what the
tile keeps of itself, which the first fetch inside would bring again: ``F' = b·F − (b − 1)·kept`` (`advance`).
"""

from __future__ import annotations

import numpy as np

from hwsim.counting.geometry import equal, is_zero, volume
from hwsim.kernel import IntArray, kernel


@kernel(forceinline=True)
def advance(fills: float, bound: float, kept: float) -> float:
    """Fetches with one more loop around: all that is inside again and again, but for what its steps keep.

    In any unit: words in `tile_fills`, tiles where the search follows a partial mapping.
    """
    return bound * fills - (bound - 1) * kept


@kernel(forceinline=True)
def new_rows(distance: int, extent: int) -> int:
    """Rows of a box of so many that are new after a move along its rank."""
    return min(abs(distance), extent)


@kernel()
def new_part(extent: IntArray, shift: IntArray) -> np.int64:
    """Elements that a box moved by ``shift`` does not share with where it was (rule 3).

    What stays is the box that both have: nothing, where the move is by an extent or further along any rank.
    """
    stays = np.int64(1)
    for r in range(extent.shape[0]):
        stays *= extent[r] - new_rows(shift[r], extent[r])
    return volume(extent) - stays


@kernel()
def tile_fills(
    child: int,
    bound: IntArray,
    axis: IntArray,
    move: IntArray,
    extent: IntArray,
    outside: IntArray,
    no_reuse: bool,
    scratch: IntArray,
) -> int:
    """Elements that the tile swept by loops ``child`` … n−1 fetches over the whole run, per instance.

    Rules 3 to 5 in closed form (see the module's docstring). A partial sum leaves as often as its tile
    is fetched, so this is also what an instance sends to its parent. ``scratch`` (3, ranks) is written over:
    memory is asked for once per nest, not once per level.
    """
    box = extent[child]
    full = volume(box)
    if no_reuse:
        return full * outside[child]
    ranks = box.shape[0]
    swept = scratch[0]  # Σ v_j of the loops inside loop i
    step = scratch[1]
    usual = scratch[2]  # t_n
    swept[:] = 0
    usual_cost = np.int64(-1)
    fills = full
    for i in range(child - 1, -1, -1):
        if axis[i] != 0:
            continue
        for r in range(ranks):
            step[r] = move[i, r] - swept[r]
            swept[r] += move[i, r]
        if is_zero(step):
            cost = np.int64(0)
        elif usual_cost < 0:
            for r in range(ranks):
                usual[r] = step[r]
            cost = usual_cost = new_part(box, step)
        elif equal(step, usual):
            cost = usual_cost
        else:
            cost = full
        fills = advance(fills, bound[i], full - cost)
    return fills
