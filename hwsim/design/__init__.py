"""Designs: an architecture and what its actions cost, from files, as they are or changed."""

from hwsim.design.load import Spec, find_architecture, load_architecture, load_specs, shipped_architectures
from hwsim.design.settings import Setting

__all__ = [
    "Setting",
    "Spec",
    "find_architecture",
    "load_architecture",
    "load_specs",
    "shipped_architectures",
]
