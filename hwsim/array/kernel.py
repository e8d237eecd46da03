"""How this package's numba kernels are compiled."""

from __future__ import annotations

from functools import partial

from numba import njit

kernel = partial(njit, cache=True, error_model="numpy", _nrt=False)
"""Decorator of a kernel that allocates nothing.

Kernels here get arrays and make none, so numba need not count references to them (``_nrt``). With counting, a step of a
mostly empty array spends two thirds of its time on it.
"""
