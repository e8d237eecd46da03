"""Pruning of a chain of convolutions: whole filters by L1 norm, or single weights by magnitude, on a schedule.

Filters by L1 norm after Li et al. 2017 (arXiv 1608.08710); magnitudes after Han et al. 2015 (arXiv 1506.02626).
"""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn

from hwsim.errors import HwsimError
from hwsim.trainers.loop import Hooks
from hwsim.trainers.network import parameter_count


class Pruner:
    """Masks that are set by a schedule and kept through training, by `hooks` for `loop.fit`.

    Args:
        structured: whole filters, with their normalisation, instead of single weights.
        schedule: epoch → share of each convolution that is pruned from then on.
    """

    def __init__(self, structured: bool, schedule: dict[int, float]) -> None:
        self.structured, self.schedule = structured, schedule
        self.masks: dict[str, Tensor] = {}

    @property
    def hooks(self) -> Hooks:
        """What training calls."""
        return Hooks(self.before_epoch, self.after_step)

    def before_epoch(self, epoch: int, model: nn.Module) -> None:
        """Set the masks where the schedule says so, or where a resumed run has none yet."""
        due = [e for e in self.schedule if e <= epoch]
        if not due or (epoch not in self.schedule and self.masks):
            return
        share = self.schedule[max(due)]
        for conv, norm in blocks(model):
            weight = conv.weight.detach()
            if self.structured:
                size = weight.abs().sum(dim=(1, 2, 3))
                mask = _keep_largest(size, share)
                self.masks[_key(conv)] = mask[:, None, None, None].expand_as(weight).clone()
                self.masks[_key(norm)] = mask
            else:
                self.masks[_key(conv)] = _keep_largest(weight.abs().flatten(), share).reshape(weight.shape)
        self.apply(model)

    def after_step(self, epoch: int, model: nn.Module) -> None:
        """Hold pruned weights at zero."""
        self.apply(model)

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Multiply by the masks."""
        for conv, norm in blocks(model):
            if (mask := self.masks.get(_key(conv))) is not None:
                conv.weight.mul_(mask)
            if (mask := self.masks.get(_key(norm))) is not None:
                norm.weight.mul_(mask)
                norm.bias.mul_(mask)


def _key(module: nn.Module) -> str:
    return str(id(module))


def _keep_largest(size: Tensor, share: float) -> Tensor:
    """1 where kept: all but the ``share`` smallest (rounded down), earlier ones first among equals."""
    mask = torch.ones_like(size)
    mask[torch.argsort(size, stable=True)[: int(share * len(size) + 1e-9)]] = 0
    return mask


def blocks(model: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Every convolution with the batch normalisation after it, in order.

    Raises:
        HwsimError: a convolution is grouped or has no normalisation after it.
    """
    leaves = [m for m in model.modules() if not any(True for _ in m.children())]
    out = []
    for index, module in enumerate(leaves):
        if isinstance(module, nn.Conv2d):
            after = leaves[index + 1] if index + 1 < len(leaves) else None
            if module.groups != 1 or not isinstance(after, nn.BatchNorm2d):
                raise HwsimError("pruning takes chains of plain convolutions with batch normalisation.", where="prune")
            out.append((module, after))
    return out


@torch.no_grad()
def shrink(model: nn.Sequential) -> nn.Sequential:
    """A smaller network that computes the same: filters that are zero, with their normalisation, are taken out.

    Args:
        model: a chain of convolutions with normalisation, pooling, and one linear layer behind global pooling.

    Raises:
        HwsimError: the network is no such chain.
    """
    small = deepcopy(model)
    convs = blocks(small)
    heads = [m for m in small.modules() if isinstance(m, nn.Linear)]
    if len(heads) != 1 or heads[0].in_features != convs[-1][0].out_channels:
        raise HwsimError("shrinking takes a chain that ends in global pooling and one linear layer.", where="prune")
    keeps = []
    for conv, norm in convs:
        keep = ((conv.weight.abs().sum(dim=(1, 2, 3)) > 0) & (norm.weight.abs() + norm.bias.abs() > 0)).nonzero()[:, 0]
        keeps.append(keep if len(keep) else torch.tensor([0]))
    for (conv, norm), keep in zip(convs, keeps, strict=True):
        conv.weight = nn.Parameter(conv.weight[keep])
        conv.out_channels = norm.num_features = len(keep)
        norm.weight, norm.bias = nn.Parameter(norm.weight[keep]), nn.Parameter(norm.bias[keep])
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean, norm.running_var = norm.running_mean[keep], norm.running_var[keep]
    for ((_, _), (conv, _)), keep in zip(pairwise(convs), keeps[:-1], strict=True):
        conv.weight = nn.Parameter(conv.weight[:, keep])
        conv.in_channels = len(keep)
    head = heads[0]
    head.weight = nn.Parameter(head.weight[:, keeps[-1]])
    head.in_features = len(keeps[-1])
    return small


def share_to_fit(model: nn.Sequential, parameters: int, where: str) -> float:
    """Least share of every convolution's filters, in 64ths, whose removal leaves at most so many parameters.

    Raises:
        HwsimError: even a 64th of the filters has more.
    """
    for step in range(64):
        trial = deepcopy(model)
        Pruner(True, {0: step / 64}).before_epoch(0, trial)
        if parameter_count(shrink(trial)) <= parameters:
            return step / 64
    raise HwsimError(f"pruning cannot bring the network to {parameters} parameters.", where=where)


def sparsity(model: nn.Module) -> float:
    """Share of the convolutions' weights that are zero."""
    weights = [conv.weight for conv, _ in blocks(model)]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
