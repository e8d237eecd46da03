"""Attention from matrix products, and an encoder–decoder made of it (Vaswani et al. 2017, arXiv 1706.03762)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention: four projections, and per head one product for the scores and one for the values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the width {width} is no multiple of {heads} heads")
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def _split(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        return x.reshape(n, length, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (N, T, D), memory (N, S, D), mask (T, S), True where attending is allowed → (N, T, D)."""
        q, k, v = self._split(self.query(x)), self._split(self.key(memory)), self._split(self.value(memory))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        y = scores.softmax(-1) @ v
        n, _, length, _ = y.shape
        result: Tensor = self.out(y.transpose(1, 2).reshape(n, length, -1))
        return result


class FeedForward(nn.Sequential):
    """Two linear layers with ReLU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))


class EncoderLayer(nn.Module):
    """Attention over the source, then feed-forward; normalised before each, added after each."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention, self.feed = Attention(width, heads), FeedForward(width, hidden)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def forward(self, x: Tensor) -> Tensor:
        """(N, S, D) → (N, S, D)."""
        y = self.norms[0](x)
        x = x + self.attention(y, y)
        z: Tensor = x + self.feed(self.norms[1](x))
        return z


class DecoderLayer(nn.Module):
    """Causal attention, attention over the encoder's output, feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.own, self.cross, self.feed = Attention(width, heads), Attention(width, heads), FeedForward(width, hidden)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """x (N, T, D), memory (N, S, D) → (N, T, D)."""
        y = self.norms[0](x)
        x = x + self.own(y, y, mask)
        x = x + self.cross(self.norms[1](x), memory)
        z: Tensor = x + self.feed(self.norms[2](x))
        return z


class Transformer(nn.Module):
    """Encoder–decoder over tokens with learned positions.

    Args:
        tokens: size of the vocabulary.
        length: longest source and target.
        width / heads / hidden / layers: of every layer; as many encoder as decoder layers.
    """

    def __init__(self, tokens: int, length: int, width: int, heads: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        self.encoder = nn.ModuleList([EncoderLayer(width, heads, hidden) for _ in range(layers)])
        self.decoder = nn.ModuleList([DecoderLayer(width, heads, hidden) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.out = nn.Linear(width, tokens)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source (N, S), target (N, T) of token numbers → logits (N, T, tokens) of each next token."""
        memory = self.embed(source) + self.position[: source.shape[1]]
        for layer in self.encoder:
            memory = layer(memory)
        memory = self.norms[0](memory)
        length = target.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        x = self.embed(target) + self.position[:length]
        for layer in self.decoder:
            x = layer(x, memory, mask)
        logits: Tensor = self.out(self.norms[1](x))
        return logits


def matrix_products(layers: int, heads: int) -> dict[str, int]:
    """Matrix products of one inference, by place; the word embedding is a look-up and counts none.

    An attention takes 4 projections and 2 products per head. An encoder layer has one attention, a decoder layer
    two; each has 2 products of its feed-forward; the logits take 1.
    """
    attention = 4 + 2 * heads
    return {
        "encoder attention": layers * attention,
        "decoder self-attention": layers * attention,
        "decoder cross-attention": layers * attention,
        "feed-forward": 2 * layers * 2,
        "logits": 1,
    }
