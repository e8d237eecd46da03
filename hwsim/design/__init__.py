"""Designs: an architecture and what its actions cost, from files, as they are or changed."""

from hwsim.design.load import (
    Spec,
    find_architecture,
    load_architecture,
    load_content,
    load_design,
    load_each,
    load_prices,
    load_specs,
    shipped_architectures,
)
from hwsim.design.settings import Setting
from hwsim.hardware import Design

__all__ = [
    "Design",
    "Setting",
    "Spec",
    "find_architecture",
    "load_architecture",
    "load_content",
    "load_design",
    "load_each",
    "load_prices",
    "load_specs",
    "shipped_architectures",
]
