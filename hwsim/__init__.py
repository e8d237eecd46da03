"""hwsim: what a neural network costs on an accelerator, under the best mapping of every layer."""

from __future__ import annotations

import os
from typing import Any

# LLVM's highest level takes a quarter longer to compile our kernels and does not make them faster.
os.environ.setdefault("NUMBA_OPT", "2")

__version__ = "0.1.0"

# name → module that defines it; imported on first use so that `import hwsim` stays fast.
_LAZY: dict[str, str] = {
    "evaluate": "hwsim.model",
    "load_architecture": "hwsim.spec",
    "load_specs": "hwsim.spec",
    "profile": "hwsim.network",
    "score": "hwsim.rubric",
    "search": "hwsim.mapper",
    "study": "hwsim.whatif",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'hwsim' has no attribute '{name}'")
