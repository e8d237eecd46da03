"""Networks from a few words per layer: ``conv 32 s2``, ``residual 64``, ``inverted 64 e4``, ``gap``, ``linear 10``.

A layer is an operator, its output channels (or its rate or size) and options: ``k`` kernel, ``s`` stride,
``e`` expansion, ``g`` groups. Convolutions carry batch normalisation, and an activation where they do not end in a sum.
A new kind of layer is one function in `LAYERS`, a new activation one row of `ACTIVATIONS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hwsim.errors import HwsimError, did_you_mean

MAX_CHANNELS = 4096
MAX_LAYERS = 256


def conv(i: int, o: int, k: int = 3, s: int = 1, g: int = 1, active: bool = True) -> nn.Sequential:
    """Convolution (padding k // 2), batch normalisation and, unless told otherwise, an activation."""
    parts: list[nn.Module] = [nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*parts, nn.ReLU(inplace=True)) if active else nn.Sequential(*parts)


class Sum(nn.Module):
    """A body whose input is added to its output, through a projection where the shapes differ."""

    def __init__(self, body: nn.Module, skip: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.body, self.skip, self.after = body, skip, after

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, M, P, Q)."""
        y: Tensor = self.after(self.body(x) + self.skip(x))
        return y


def residual(i: int, o: int, s: int = 1, k: int = 3) -> nn.Module:
    """Two k×k convolutions and a skip (He et al. 2016, arXiv 1512.03385)."""
    skip = nn.Identity() if i == o and s == 1 else conv(i, o, 1, s, active=False)
    return Sum(nn.Sequential(conv(i, o, k, s), conv(o, o, k, active=False)), skip, nn.ReLU(inplace=True))


def inverted(i: int, o: int, e: int = 4, k: int = 3, s: int = 1) -> nn.Module:
    """Expand 1×1, depthwise k×k, project 1×1 (Sandler et al. 2018, arXiv 1801.04381)."""
    wide = i * e
    parts = [conv(i, wide, 1)] if e > 1 else []
    body = nn.Sequential(*parts, conv(wide, wide, k, s, g=wide), conv(wide, o, 1, active=False))
    return Sum(body, nn.Identity(), nn.Identity()) if i == o and s == 1 else body


def separable(i: int, o: int, k: int = 3, s: int = 1) -> nn.Module:
    """Depthwise k×k, then pointwise (Howard et al. 2017, arXiv 1704.04861)."""
    return nn.Sequential(conv(i, i, k, s, g=i), conv(i, o, 1))


LAYERS: dict[str, Callable[..., nn.Module]] = {
    "conv": conv,
    "residual": residual,
    "inverted": inverted,
    "separable": separable,
    "linear": nn.Linear,
}
#: Layers without channels of their own; the number is their size or rate.
PLAIN: dict[str, Callable[..., nn.Module]] = {
    "pool": lambda n=2: nn.MaxPool2d(int(n)),
    "avgpool": lambda n=2: nn.AvgPool2d(int(n)),
    "dropout": lambda n=0.1: nn.Dropout(n),
    "gap": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "flatten": nn.Flatten,
    "relu": nn.ReLU,
}
#: Activations that a recipe may ask for.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "silu": nn.SiLU,  # in place, it would copy its input for the backward pass
}


def activate(module: nn.Module, name: str) -> None:
    """Put another activation where layers have their ReLU, in place."""
    for child_name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, child_name, ACTIVATIONS[name]())
        else:
            activate(child, name)


def _parse(text: str, channels: int, where: str) -> nn.Module:
    word, *rest = text.split()
    numbers = [float(t) for t in rest if re.fullmatch(r"\d+(\.\d+)?", t)]
    options = {t[0]: int(t[1:]) for t in rest if re.fullmatch(r"[ksegKSEG]\d+", t)}
    if len(numbers) + len(options) != len(rest) or len(numbers) > 1:
        raise HwsimError(f"expected a layer such as 'conv 32 k3 s2', found '{text}'.", where=where)
    if word in PLAIN:
        return PLAIN[word](*numbers)
    if word not in LAYERS:
        raise HwsimError(f"unknown layer '{word}'.{did_you_mean(word, [*LAYERS, *PLAIN])}", where=where)
    if not numbers or not 1 <= numbers[0] <= MAX_CHANNELS:
        raise HwsimError(f"'{word}' needs output channels from 1 to {MAX_CHANNELS}, found '{text}'.", where=where)
    try:
        return LAYERS[word](channels, int(numbers[0]), **options)
    except (TypeError, ValueError) as error:
        raise HwsimError(f"'{text}' is no valid layer after {channels} channels: {error}.", where=where) from error


def build(
    layers: Sequence[str], shape: tuple[int, int, int], where: str = "network", activation: str = "relu"
) -> nn.Sequential:
    """A network from its layers' words.

    Args:
        layers: one text per layer.
        shape: (channels, height, width) of an input.
        where: named in messages.
        activation: one of `ACTIVATIONS`.

    Raises:
        HwsimError: a layer is unknown, malformed, or does not fit the shape it gets.
    """
    if len(layers) > MAX_LAYERS:
        raise HwsimError(f"expected at most {MAX_LAYERS} layers, found {len(layers)}.", where=where)
    network = nn.Sequential()
    x = torch.zeros(1, *shape)
    for index, text in enumerate(layers):
        place = f"{where}[{index}]"
        layer = _parse(text, x.shape[1], place)
        try:
            with torch.no_grad():
                x = layer.eval()(x)
        except RuntimeError as error:
            raise HwsimError(f"'{text}' does not fit an input of shape {tuple(x.shape[1:])}.", where=place) from error
        network.append(layer)
    activate(network, activation)
    return network.train()


def fuse(module: nn.Module) -> nn.Module:
    """Fold batch normalisations into the convolutions before them, in place; the module must be in eval mode."""
    for name, child in list(module.named_children()):
        fuse(child)
        if isinstance(child, nn.Sequential):
            kept: list[nn.Module] = []
            for part in child:
                if isinstance(part, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d):
                    kept[-1] = fuse_conv_bn_eval(kept[-1], part)
                else:
                    kept.append(part)
            setattr(module, name, nn.Sequential(*kept))
    return module


class Deployed(nn.Module):
    """A network behind its normalisation: takes images in [0, 1], returns logits.

    Args:
        body: the trained network.
        mean / std: per channel.
        resolution: pixels a side that images are resized to (bilinear) before the network; None keeps them.
    """

    def __init__(self, body: nn.Module, mean: Sequence[float], std: Sequence[float], resolution: int | None) -> None:
        super().__init__()
        self.body = body
        self.resolution = resolution
        self.scale: Tensor
        self.shift: Tensor
        s = torch.tensor(std).reshape(1, -1, 1, 1)
        self.register_buffer("scale", 1 / s)
        self.register_buffer("shift", -torch.tensor(mean).reshape(1, -1, 1, 1) / s)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] → (N, classes) logits."""
        x = x * self.scale + self.shift
        if self.resolution is not None:
            x = nn.functional.interpolate(x, size=(self.resolution, self.resolution), mode="bilinear")
        y: Tensor = self.body(x)
        return y


def parameter_count(module: nn.Module) -> int:
    """Parameters, the running statistics of batch normalisations (not trained) among them."""
    own = sum(p.numel() for p in module.parameters())
    return own + sum(b.numel() for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var")))
