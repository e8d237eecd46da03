"""A Llama-shaped decoder with a KV cache, small enough to read.

Blocks as in Touvron et al. 2023 (arXiv 2302.13971) and Grattafiori et al. 2024 (arXiv 2407.21783): RMS normalisation,
rotary positions (Su et al. 2021, arXiv 2104.09864), grouped-query attention (Ainslie et al. 2023, arXiv 2305.13245),
SwiGLU. Weights load from a local folder in Hugging Face's layout (config.json, model*.safetensors, tokenizer.json).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.errors import HwsimError


@dataclass(frozen=True)
class Shape:
    """Sizes of a model, under the names of Hugging Face's config.json."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    head_dim: int
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True


#: Shapes by name; ``llama-3.2-1b`` is Llama-3.2-1B-Instruct's, the others are the same design made smaller.
SHAPES = {
    "llama-3.2-1b": Shape(2048, 8192, 16, 32, 8, 128256, 64, 500000.0),
    "small": Shape(512, 1408, 8, 8, 4, 4096, 64, 500000.0),
    "tiny": Shape(128, 352, 4, 4, 2, 512, 32, 500000.0),
}


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs (i, i + d/2) of each head by the position's angles; x (N, heads, T, d), cos and sin (T, d)."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


class SelfAttention(nn.Module):
    """Grouped-query attention over the cache."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.shape = s
        kv = s.num_key_value_heads * s.head_dim
        self.q_proj = nn.Linear(s.hidden_size, s.num_attention_heads * s.head_dim, bias=False)
        self.k_proj = nn.Linear(s.hidden_size, kv, bias=False)
        self.v_proj = nn.Linear(s.hidden_size, kv, bias=False)
        self.o_proj = nn.Linear(s.num_attention_heads * s.head_dim, s.hidden_size, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, position: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x (N, T, D); keys and values (N, kv heads, length, d) of the cache, written at ``position`` (T,)."""
        s, (n, t, _) = self.shape, x.shape
        q = self.q_proj(x).view(n, t, s.num_attention_heads, s.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(n, t, s.num_key_value_heads, s.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(n, t, s.num_key_value_heads, s.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        keys = keys.index_copy(2, position, k)
        values = values.index_copy(2, position, v)
        groups = s.num_attention_heads // s.num_key_value_heads
        wide_k, wide_v = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
        scores = (q @ wide_k.transpose(-1, -2)) * s.head_dim**-0.5 + mask
        y = scores.softmax(-1) @ wide_v
        return self.o_proj(y.transpose(1, 2).reshape(n, t, -1)), keys, values


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.up_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.down_proj = nn.Linear(s.intermediate_size, s.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, D) → (N, T, D)."""
        y: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return y


class Block(nn.Module):
    """One decoder layer."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.self_attn, self.mlp = SelfAttention(s), Mlp(s)
        self.input_layernorm = nn.RMSNorm(s.hidden_size, s.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(s.hidden_size, s.rms_norm_eps)


class Llama(nn.Module):
    """The model: one step over T tokens with the cache in and out, so that a step is a pure function."""

    def __init__(self, shape: Shape, length: int) -> None:
        super().__init__()
        self.shape, self.length = shape, length
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList([Block(shape) for _ in range(shape.num_hidden_layers)])
        self.norm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        if shape.tie_word_embeddings:
            self.lm_head.weight = self.embed_tokens.weight
        angles = torch.arange(length)[:, None] / shape.rope_theta ** (
            torch.arange(0, shape.head_dim, 2) / shape.head_dim
        )
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", torch.cat((angles, angles), -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat((angles, angles), -1).sin(), persistent=False)

    def empty_cache(self) -> tuple[Tensor, Tensor]:
        """Keys and values of nothing: (layers, 1, kv heads, length, d) each."""
        s = self.shape
        size = (s.num_hidden_layers, 1, s.num_key_value_heads, self.length, s.head_dim)
        return torch.zeros(size), torch.zeros(size)

    def forward(self, tokens: Tensor, position: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """tokens (1, T) at ``position`` (T,) → logits (1, vocabulary) after the last, and the cache."""
        x = self.embed_tokens(tokens)
        cos, sin = self.cos[position], self.sin[position]
        seen = torch.arange(self.length, device=tokens.device)[None, :] <= position[:, None]
        mask = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))
        new_keys, new_values = [], []
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, Block)
            y, k, v = layer.self_attn(layer.input_layernorm(x), cos, sin, keys[index], values[index], position, mask)
            x = x + y
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            new_keys.append(k)
            new_values.append(v)
        logits = self.lm_head(self.norm(x[:, -1]))
        return logits, torch.stack(new_keys), torch.stack(new_values)


def load(folder: Path, length: int) -> Llama:
    """A model from a folder in Hugging Face's layout; only safetensors are read, never pickles.

    Raises:
        HwsimError: a file is missing or does not fit.
    """
    from safetensors.torch import load_file

    config_file = folder / "config.json"
    if not config_file.is_file():
        raise HwsimError("no config.json in the folder.", where=str(folder))
    config = json.loads(config_file.read_text())
    known = {k: config[k] for k in Shape.__dataclass_fields__ if k in config}
    known.setdefault("head_dim", config.get("hidden_size", 0) // max(1, config.get("num_attention_heads", 1)))
    try:
        shape = Shape(**known)
    except TypeError as error:
        raise HwsimError(f"the configuration is incomplete: {error}.", where=str(config_file)) from error
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise HwsimError("no model*.safetensors in the folder.", where=str(folder))
    state: dict[str, Tensor] = {}
    for file in files:
        state |= {k.removeprefix("model."): v.float() for k, v in load_file(file).items()}
    model = Llama(shape, length)
    if shape.tie_word_embeddings:
        state.setdefault("lm_head.weight", state.get("embed_tokens.weight", torch.empty(0)))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise HwsimError(f"the weights do not fit: {str(error).splitlines()[0]}", where=str(folder)) from error
    return model


class ByteTokenizer:
    """Bytes as tokens, for models without a tokenizer of their own."""

    def encode(self, text: str) -> list[int]:
        """Text → bytes."""
        return list(text.encode())

    def decode(self, tokens: list[int]) -> str:
        """Bytes → text; tokens that are no byte show as ``?``."""
        return bytes(t if t < 256 else 63 for t in tokens).decode(errors="replace")


class FileTokenizer:
    """The tokenizer of a tokenizer.json."""

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(file))

    def encode(self, text: str) -> list[int]:
        """Text → tokens."""
        return list(self.tokenizer.encode(text).ids)

    def decode(self, tokens: list[int]) -> str:
        """Tokens → text."""
        return str(self.tokenizer.decode(tokens))
