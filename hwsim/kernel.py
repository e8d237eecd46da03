"""How numba kernels are compiled that get arrays, make none, and return numbers."""

from __future__ import annotations

from functools import partial

from numba import njit

kernel = partial(njit, cache=True, error_model="numpy", _nrt=False)
"""Decorator of a kernel that allocates nothing.

Nothing allocated, nothing to free: numba need not count references to arrays in it (``_nrt``). Counting
halves the mapping search's speed on eyeriss_like and quarters it on simple_ws. Returning an array, copying one
slice into another or allocating is refused by the compiler or, for an array that is returned, wrong.
"""
