"""Boxes of a data space: how far loops move them, and how large they are."""

from __future__ import annotations

import numpy as np

from hwsim.kernel import IntArray, kernel, njit


@njit(cache=True, error_model="numpy")
def nest_geometry(
    coef: IntArray, dim: IntArray, bound: IntArray, axis: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Moves, extents and repetition of every loop for one data space.

    Args:
        coef: (ranks, dims) projection coefficients.
        dim / bound / axis: (n,) the loops, outer → inner.

    Returns:
        move (n, ranks): how far one iteration of loop i shifts the box;
        extent (n + 1, ranks): the box swept by loops i … n−1 (rule 1: 1 + Σ coefficient·(size − 1));
        outside (n + 1,): product of the temporal bounds of loops 0 … i−1.
    """
    n = dim.shape[0]
    ranks = coef.shape[0]
    size = np.ones(coef.shape[1], np.int64)
    move = np.zeros((n, ranks), np.int64)
    extent = np.ones((n + 1, ranks), np.int64)
    for i in range(n - 1, -1, -1):
        d = dim[i]
        for r in range(ranks):
            move[i, r] = coef[r, d] * size[d]
            extent[i, r] = extent[i + 1, r] + move[i, r] * (bound[i] - 1)
        size[d] *= bound[i]
    outside = np.ones(n + 1, np.int64)
    for i in range(n):
        outside[i + 1] = outside[i] * (bound[i] if axis[i] == 0 else 1)
    return move, extent, outside


@kernel()
def volume(extent: IntArray) -> np.int64:
    """Elements of a box."""
    v = np.int64(1)
    for r in range(extent.shape[0]):
        v *= extent[r]
    return v


@kernel()
def equal(a: IntArray, b: IntArray) -> bool:
    """Whether two moves are the same."""
    for r in range(a.shape[0]):
        if a[r] != b[r]:
            return False
    return True


@kernel()
def is_zero(a: IntArray) -> bool:
    """Whether a move goes nowhere."""
    for r in range(a.shape[0]):
        if a[r] != 0:
            return False
    return True
