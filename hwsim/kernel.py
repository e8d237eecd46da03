"""How numba kernels are compiled that get arrays, make none, and return numbers."""

from __future__ import annotations

from functools import partial

from numba import njit

kernel = partial(njit, cache=True, error_model="numpy", _nrt=False)
"""Decorator of a kernel that allocates nothing.

Nothing allocated, nothing to free: numba need not count references to arrays in it (``_nrt``). With counting, the
mapping search spends five sixths of its time on it, the array simulator two thirds. Returning an array, copying one
slice into another or allocating is refused by the compiler or, for an array that is returned, wrong.
"""
