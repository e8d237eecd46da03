"""The Pareto front, and the hypervolume that it dominates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
#: How far beyond the front's worst values the reference point lies, as a share of the front's extent.
MARGIN = 0.1


def on_front(points: Points) -> npt.NDArray[np.bool_]:
    """(n, objectives), all minimised → which points no other point dominates; equal points are all on the front."""
    out = np.ones(len(points), np.bool_)
    for k, point in enumerate(points):
        no_worse = (points <= point).all(axis=1)
        out[k] = not (no_worse & (points < point).any(axis=1)).any()
    return out


@dataclass(frozen=True)
class Box:
    """What hypervolumes are measured in, so that runs can be compared: ``ideal`` becomes 0, ``reference`` 1.

    Each objective's ideal is the front's best value; its reference lies beyond the front's worst value by `MARGIN`
    of the extent between the two (Ishibuchi et al. 2018, "How to Specify a Reference Point in Hypervolume
    Calculation", on why it should lie a little outside). Where all of the front agrees, the extent is a tenth of the
    value.
    """

    ideal: tuple[float, ...]
    reference: tuple[float, ...]

    @staticmethod
    def around(front: Points) -> Box:
        """The box of a front (n, objectives), n ≥ 1."""
        best, worst = front.min(axis=0), front.max(axis=0)
        extent = np.where(worst > best, worst - best, np.maximum(np.abs(best) / 10, 1e-12))
        return Box(tuple(map(float, best)), tuple(map(float, worst + MARGIN * extent)))

    def hypervolume(self, points: Points) -> float:
        """Share of the box that points (n, objectives) dominate, 0–1."""
        ideal, reference = np.array(self.ideal), np.array(self.reference)
        scaled = np.maximum((points - ideal) / (reference - ideal), 0.0)
        return _volume(scaled[(scaled < 1).all(axis=1)]) if len(points) else 0.0


def _volume(points: Points) -> float:
    """Volume between points and (1, …, 1), exact: slices along the last axis, each a problem of one dimension less."""
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return 1.0 - float(points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    if points.shape[1] == 2:
        lowest = np.minimum.accumulate(points[:, 0])
        heights = np.diff(np.append(points[:, 1], 1.0))
        return float(((1.0 - lowest) * heights).sum())
    total, ends = 0.0, np.append(points[1:, -1], 1.0)
    for k, end in enumerate(ends):
        if end > points[k, -1]:
            below = points[: k + 1, :-1]
            total += (end - float(points[k, -1])) * _volume(below[on_front(below)])
    return total


def history(points: Points, numbers: Sequence[int], box: Box) -> list[tuple[int, float]]:
    """(trials so far, hypervolume) whenever it grows; ``numbers`` are the trials that the points come from."""
    out: list[tuple[int, float]] = []
    front: Points = np.empty((0, len(box.ideal)))
    for point, number in zip(points, numbers, strict=True):
        if (front <= point).all(axis=1).any():
            continue
        front = np.vstack([front[~(front >= point).all(axis=1)], point])
        value = box.hypervolume(front)
        if not out or value > out[-1][1]:
            out.append((number + 1, value))
    return out
