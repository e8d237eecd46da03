"""The types that carry images: one split, and a set of splits that are read when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Images:
    """One split of an image set.

    Attributes:
        pixels: (N, H, W, C) uint8.
        labels: (N,) int64, positions in the set's alphabetical class list; -1 where unlabelled.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> Images:
        """The images at these positions."""
        return Images(self.pixels[index], self.labels[index])


@dataclass(frozen=True)
class ImageSet:
    """An image set whose splits are read on demand: training never touches ``test``.

    Attributes:
        name: of the set.
        classes: names in alphabetical order; a label is a position in it.
        source: where it was found, for the log.
        read: ``"train"`` or ``"test"`` → that split.
    """

    name: str
    classes: tuple[str, ...]
    source: str
    read: Callable[[str], Images]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        _, height, width, channels = self.read("train").pixels.shape
        return channels, height, width


def split(images: Images, validation: int, seed: int) -> tuple[Images, Images]:
    """Part ``validation`` images from the others, drawn by ``seed``: (training, validation)."""
    order = np.random.default_rng(seed).permutation(len(images)).astype(np.int64)
    return images.take(np.sort(order[validation:])), images.take(np.sort(order[:validation]))
