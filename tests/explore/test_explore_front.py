"""Front and hypervolume against definitions applied by hand or by brute force."""

import numpy as np
import pytest

from hwsim.explore.front import Box, history, on_front

UNIT = {n: Box((0.0,) * n, (1.0,) * n) for n in (1, 2, 3, 4)}


def test_front_by_definition() -> None:
    points = np.random.default_rng(1).integers(0, 9, (60, 3)).astype(float)
    expected = [not any((q <= p).all() and (q < p).any() for q in points) for p in points]
    assert on_front(points).tolist() == expected and 1 < sum(expected) < 60


def test_hypervolume_by_hand() -> None:
    # boxes [0.2, 1] × [0.6, 1] and [0.5, 1] × [0.3, 1] overlap in [0.5, 1] × [0.6, 1]
    two = np.array([[0.2, 0.6], [0.5, 0.3]])
    assert UNIT[2].hypervolume(two) == pytest.approx(0.8 * 0.4 + 0.5 * 0.7 - 0.5 * 0.4)
    assert UNIT[1].hypervolume(np.array([[0.7], [0.25]])) == pytest.approx(0.75)
    # outside the box nothing counts, and better than ideal counts as ideal
    assert UNIT[2].hypervolume(np.array([[1.0, 0.0], [0.0, 2.0]])) == 0.0
    assert UNIT[2].hypervolume(np.array([[-3.0, 0.5]])) == pytest.approx(0.5)


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_hypervolume_by_inclusion_and_exclusion(dimensions: int) -> None:
    points = np.random.default_rng(dimensions).random((7, dimensions))
    expected = 0.0
    for mask in range(1, 2 ** len(points)):
        chosen = points[[k for k in range(len(points)) if mask >> k & 1]]
        expected += (-1) ** (len(chosen) + 1) * float(np.prod(1 - chosen.max(axis=0)))
    assert UNIT[dimensions].hypervolume(points) == pytest.approx(expected, rel=1e-9)


def test_the_box_lies_a_tenth_beyond_the_front() -> None:
    box = Box.around(np.array([[1.0, 9.0], [3.0, 5.0]]))
    assert box.ideal == (1.0, 5.0) and box.reference == pytest.approx((3.2, 9.4))
    # where all agree, the extent is a tenth of the value
    assert Box.around(np.array([[2.0, -4.0]])).reference == pytest.approx((2.02, -3.96))


def test_history_grows_to_the_hypervolume_of_all() -> None:
    points = np.random.default_rng(3).random((40, 2))
    box = Box.around(points[on_front(points)])
    steps = history(points, list(range(40)), box)
    values = [v for _, v in steps]
    assert values == sorted(values) and values[-1] == pytest.approx(box.hypervolume(points))
    for trials, value in steps:
        assert value == pytest.approx(box.hypervolume(points[:trials]))
