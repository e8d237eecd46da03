"""Batches of images: augmentation, a teacher's lessons on them, and a model's accuracy on a whole set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.trainers.data import Images
from hwsim.trainers.recipe import Augment


@dataclass(frozen=True)
class Task:
    """What `fit` trains on.

    Attributes:
        train / validation: images; validation may be empty.
        mean / std: per channel, of the training images in [0, 1].
        resolution: pixels a side the network sees; None is the images' own.
    """

    train: Images
    validation: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @staticmethod
    def of(train: Images, validation: Images) -> Task:
        """A task with the statistics of its training images."""
        x = train.pixels.reshape(-1, train.pixels.shape[-1])
        mean = x.mean(axis=0, dtype=np.float64) / 255
        std = np.sqrt(np.maximum((x.astype(np.float32) ** 2).mean(axis=0, dtype=np.float64) / 255**2 - mean**2, 1e-12))
        return Task(train, validation, tuple(mean.round(4).tolist()), tuple(std.round(4).tolist()))


@dataclass(frozen=True)
class View:
    """One augmented look at N images of a set.

    Attributes:
        dy / dx: where the window into the padded image lies (pixels), (N,).
        flipped: if it is mirrored, (N,).
        other: position of the image that shows inside the box, (N,); None where nothing is mixed.
        box: top, left, bottom, right (pixels, the latter two excluded), (N, 4); empty boxes show nothing.
    """

    dy: Tensor
    dx: Tensor
    flipped: Tensor
    other: Tensor | None = None
    box: Tensor | None = None

    def at(self, index: Tensor) -> View:
        """The view of some of the images."""
        other = None if self.other is None else self.other[index]
        box = None if self.box is None else self.box[index]
        return View(self.dy[index], self.dx[index], self.flipped[index], other, box)


@dataclass(frozen=True)
class Lessons:
    """What a teacher says of every training image, in several views.

    The student sees just what the teacher saw (Beyer et al. 2022, arXiv 2106.05237); epoch e takes view e modulo
    their number.

    Attributes:
        views: augmented looks at the training images.
        logits: the teacher's, (views, N, classes).
    """

    views: tuple[View, ...]
    logits: Tensor


class Feeder:
    """Batches of augmented, normalised images; everything is one indexing operation per batch.

    Images are padded once (reflected), so that a random crop is a window into the padded image. The
    result is channels-last in memory, as convolutions on CPUs like it.
    """

    def __init__(self, images: Images, task: Task, augment: Augment) -> None:
        self.augment = augment
        self.height, self.width = images.pixels.shape[1:3]
        p = augment.crop
        padded = np.pad(images.pixels, ((0, 0), (p, p), (p, p), (0, 0)), mode="reflect") if p else images.pixels
        self.pixels = torch.from_numpy(np.ascontiguousarray(padded))
        self.labels = torch.from_numpy(images.labels)
        self.scale = 1 / (255 * torch.tensor(task.std))
        self.shift = -torch.tensor(task.mean) / torch.tensor(task.std)

    def __len__(self) -> int:
        return len(self.labels)

    def view(self, count: int, generator: torch.Generator | None) -> View:
        """Random windows, mirrorings and boxes of ``count`` images; none where no generator is given."""
        p = self.augment.crop
        dy = dx = torch.full((count,), p)
        flipped = torch.zeros(count, dtype=torch.bool)
        if generator is not None:
            if p:
                dy = torch.randint(0, 2 * p + 1, (count,), generator=generator)
                dx = torch.randint(0, 2 * p + 1, (count,), generator=generator)
            if self.augment.flip:
                flipped = torch.rand(count, generator=generator) < 0.5
            if self.augment.mix:
                other = torch.randint(0, len(self), (count,), generator=generator)
                return View(dy, dx, flipped, other, self._boxes(count, generator))
        return View(dy, dx, flipped)

    def _boxes(self, n: int, generator: torch.Generator) -> Tensor:
        """Boxes (n, 4) for other images, their area drawn uniformly (CutMix: Yun et al. 2019, arXiv 1905.04899)."""
        size = torch.tensor([self.height, self.width])
        half = torch.rand((n, 1), generator=generator).sqrt() * size / 2
        middle = torch.rand((n, 2), generator=generator) * size
        mixed = torch.rand((n, 1), generator=generator) < self.augment.mix
        low = (middle - half).round().clamp(min=0)
        high = torch.where(mixed, (middle + half).round().minimum(size), low)
        return torch.cat([low, high], 1).long()

    def seen(self, index: Tensor, view: View) -> Tensor:
        """Images at ``index`` under a view of them: (B, H, W, C), 0 to 255."""
        x = self._window(index, view)
        if view.other is None or view.box is None:
            return x
        top, left, bottom, right = view.box.T[:, :, None]
        y, z = torch.arange(self.height), torch.arange(self.width)
        inside = ((y >= top) & (y < bottom))[:, :, None] & ((z >= left) & (z < right))[:, None, :]
        return torch.where(inside[..., None], self._window(view.other, view), x)

    def targets(self, index: Tensor, view: View, classes: int) -> Tensor:
        """How much of each image seen is of each class: (B, classes); an unlabelled image counts for none."""
        shares = torch.zeros(len(index), classes + 1)  # label -1 is the last column
        mine = torch.ones(len(index))
        if view.other is not None and view.box is not None:
            area = (view.box[:, 2:] - view.box[:, :2]).prod(1) / (self.height * self.width)
            mine = 1 - area
            shares.scatter_add_(1, (self.labels[view.other] % (classes + 1))[:, None], area[:, None])
        shares.scatter_add_(1, (self.labels[index] % (classes + 1))[:, None], mine[:, None])
        return shares[:, :-1]

    def _window(self, index: Tensor, view: View) -> Tensor:
        rows = view.dy[:, None] + torch.arange(self.height)
        columns = torch.arange(self.width).expand(len(index), -1)
        columns = torch.where(view.flipped[:, None], self.width - 1 - columns, columns) + view.dx[:, None]
        return self.pixels[index[:, None, None], rows[:, :, None], columns[:, None, :]].float()

    def batch(self, index: Tensor, generator: torch.Generator | None, view: View | None = None) -> tuple[Tensor, View]:
        """Images at ``index``: (x (B, C, H, W), their view); plain where no generator is given.

        Args:
            index: (B,) positions in the set.
            generator: of what is random.
            view: of these images; drawn by the generator unless given.
        """
        view = self.view(len(index), generator) if view is None else view
        x = self.seen(index, view) * self.scale + self.shift
        if generator is not None and self.augment.cutout:
            x = x * self._holes(len(index), generator)[..., None]
        return x.permute(0, 3, 1, 2), view

    def _holes(self, n: int, generator: torch.Generator) -> Tensor:
        """Masks (B, H, W) with a square hole at a random place (DeVries and Taylor 2017, arXiv 1708.04552)."""
        half = self.augment.cutout / 2
        y = torch.rand((n, 1), generator=generator) * self.height
        x = torch.rand((n, 1), generator=generator) * self.width
        in_rows = (torch.arange(self.height) + 0.5 - y).abs() < half
        in_columns = (torch.arange(self.width) + 0.5 - x).abs() < half
        holes: Tensor = ~(in_rows[:, :, None] & in_columns[:, None, :])
        return holes.float()


def resize(x: Tensor, resolution: int | None) -> Tensor:
    """Images (B, C, H, W) at ``resolution`` pixels a side, bilinear; None keeps them."""
    if resolution is None:
        return x
    return functional.interpolate(x, size=(resolution, resolution), mode="bilinear").contiguous(
        memory_format=torch.channels_last
    )


@torch.no_grad()
def accuracy(model: nn.Module, images: Images, task: Task, resolution: int | None = None, batch: int = 500) -> float:
    """Share of images whose largest logit is their label's."""
    feeder = Feeder(images, task, Augment())
    training = model.training
    model.eval()
    right = 0
    for start in range(0, len(feeder), batch):
        index = torch.arange(start, min(start + batch, len(feeder)))
        x, _ = feeder.batch(index, None)
        right += int((model(resize(x, resolution)).argmax(1) == feeder.labels[index]).sum())
    model.train(training)
    return right / len(feeder)
