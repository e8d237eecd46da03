"""Densities against all placements of nonzeros on small tensors, counted one by one."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import pytest

from hwsim.errors import HwsimError
from hwsim.sparse import density as densities
from hwsim.sparse.density import Banded, Box, Hypergeometric, Structured, model
from hwsim.sparsity import Density

SHAPES = [(2, 3), (3, 3), (2, 2, 2), (7,), (1, 6)]


def places(shape: Box) -> list[Box]:
    return list(itertools.product(*(range(n) for n in shape)))


def counted(shape: Box, tile: Box, nonzeros: int) -> dict[int, Fraction]:
    """Nonzeros of the tile at the origin → the share of all placements that put so many there."""
    inside = {p for p in places(shape) if all(x < n for x, n in zip(p, tile, strict=True))}
    found = Counter(len(inside & set(chosen)) for chosen in itertools.combinations(places(shape), nonzeros))
    return {k: Fraction(n, found.total()) for k, n in sorted(found.items())}


def tiles(shape: Box) -> list[Box]:
    return list(itertools.product(*(range(1, n + 1) for n in shape)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_hypergeometric_is_every_placement(shape: Box) -> None:
    total = math.prod(shape)
    for nonzeros in range(total + 1):
        one = Hypergeometric(nonzeros / total, total)
        assert one.nonzeros == nonzeros
        for tile in tiles(shape):
            expected = counted(shape, tile, nonzeros)
            found = dict(one.distribution(tile))
            assert found == {k: float(p) for k, p in expected.items()}
            assert one.empty(tile) == float(expected.get(0, 0))
            assert one.most(tile) == max(expected)
            assert math.isclose(sum(k * p for k, p in found.items()), math.prod(tile) * one.mean, abs_tol=1e-12)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_a_tile_within_a_tile(shape: Box) -> None:
    """Part of a tile that holds so many nonzeros is empty as often as in all placements that put so many there."""
    total = math.prod(shape)
    one = Hypergeometric(0.5, total)
    for outer in tiles(shape):
        for nonzeros in range(math.prod(outer) + 1):
            for tile in tiles(outer):
                assert one.empty_within(tile, outer, nonzeros) == float(counted(outer, tile, nonzeros).get(0, 0))


def test_the_fibers_that_are_not_empty() -> None:
    """n_f · (1 − P(empty)) is the mean number of rows of a matrix that hold anything."""
    shape = (3, 3)
    for nonzeros in range(10):
        one = Hypergeometric(nonzeros / 9, 9)
        rows = [len({r for r, _ in chosen}) for chosen in itertools.combinations(places(shape), nonzeros)]
        assert math.isclose(3 * (1 - one.empty_within((1, 3), shape, nonzeros)), sum(rows) / len(rows), abs_tol=1e-12)


def test_large_tiles_are_as_exact_as_counts_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quotients in doubles give what whole numbers give."""
    exact = densities._hypergeometric.__wrapped__(5000, 1500, 1000)
    monkeypatch.setattr(densities, "MAX_EXACT", 10)
    found = dict(densities._hypergeometric.__wrapped__(5000, 1500, 1000))
    for k, p in exact:
        assert math.isclose(found.get(k, 0.0), p, rel_tol=1e-12, abs_tol=1e-28)
    assert math.isclose(densities._no_hit.__wrapped__(5000, 20, 100), math.comb(4980, 100) / math.comb(5000, 100))
    assert densities._no_hit.__wrapped__(10**9, 10**8, 10**8) == 0.0


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0])
def test_structured_tiles_hold_their_share(share: float) -> None:
    one = Structured(share)
    for n in range(1, 40):
        found = dict(one.distribution((n,)))
        assert len(found) <= 2 and math.isclose(sum(found.values()), 1)
        assert math.isclose(sum(k * p for k, p in found.items()), n * share, abs_tol=1e-9)
        assert max(found) - min(found) <= 1 and one.most((n,)) in (max(found), min(found))
        assert math.isclose(one.empty((n,)), found.get(0, 0.0), abs_tol=1e-15)


def test_a_band_by_hand() -> None:
    """A 4 × 4 matrix, |row − column| ≤ 1: ten nonzeros, in tiles of 2 × 2 three on the diagonal and one beside it."""
    band = Banded(1, 4, 4)
    assert band.mean == 10 / 16 and band.most((2, 2)) == 4
    assert band.distribution((2, 2)) == [(1, 0.5), (4, 0.5)]
    assert band.distribution((4, 4)) == [(10, 1.0)]
    assert band.empty((1, 1)) == 6 / 16
    assert band.empty_within((1, 1), (4, 4), 10) == 6 / 16


def test_what_is_no_band() -> None:
    with pytest.raises(HwsimError, match="no square matrix"):
        model(Density("banded", band_width=1), (4, 5), "A")
    with pytest.raises(HwsimError, match="elements"):
        model(Density("banded", band_width=1), (10_000, 10_000), "A")
