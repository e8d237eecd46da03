"""Divisors of dimensions, all of them or few."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np


@functools.lru_cache(maxsize=4096)
def divisors(n: int) -> list[int]:
    """All divisors of n, ascending."""
    candidates = np.arange(1, math.isqrt(n) + 1)
    low = [int(k) for k in candidates[n % candidates == 0]]
    return low + [n // k for k in reversed(low) if k * k != n]


def coarse_divisors(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Some divisors of every size, ``most`` combinations or fewer where that can be; closed under taking the rest.

    The prime factors of a size are put together into fewer ones, the largest first, so that the divisors which divide
    each other stay many, and small ones (for fan-outs) stay fine.
    """
    atoms = [_primes(n) for n in sizes]
    choices = [_products(x) for x in atoms]
    while math.prod(map(len, choices)) > most:
        d = max(range(len(atoms)), key=lambda k: (len(choices[k]) if len(atoms[k]) > 1 else 0, -k))
        if len(atoms[d]) < 2:
            break
        *atoms[d], a, b = atoms[d]
        atoms[d] = sorted([*atoms[d], a * b])
        choices[d] = _products(atoms[d])
    return choices


def _primes(n: int) -> list[int]:
    out = []
    for p in divisors(n)[1:]:  # ascending, so that what divides the rest is a prime
        while n % p == 0:
            out.append(p)
            n //= p
    return out


def _products(factors: Sequence[int]) -> list[int]:
    out = {1}
    for f in factors:
        out |= {f * x for x in out}
    return sorted(out)
