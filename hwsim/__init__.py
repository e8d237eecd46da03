"""hwsim: what a neural network costs on an accelerator, under the best mapping of every layer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hwsim import shown

if TYPE_CHECKING:
    from hwsim.design import load_architecture, load_design, load_specs
    from hwsim.mapper import search
    from hwsim.model import evaluate
    from hwsim.network import profile
    from hwsim.rubric import score
    from hwsim.whatif import study

# LLVM's highest level takes a quarter longer to compile our kernels and does not make them faster.
os.environ.setdefault("NUMBA_OPT", "2")

__version__ = "0.2.0"
__all__ = [
    "__version__",
    "evaluate",
    "load_architecture",
    "load_design",
    "load_specs",
    "profile",
    "score",
    "search",
    "study",
]

shown.viewer = "hwsim.reports.jupyter"

# name → module that defines it; imported on first use so that `import hwsim` stays fast.
_LAZY: dict[str, str] = {
    "evaluate": "hwsim.model",
    "load_architecture": "hwsim.design",
    "load_design": "hwsim.design",
    "load_specs": "hwsim.design",
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


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()} - {"Any", "TYPE_CHECKING", "annotations", "os"})
