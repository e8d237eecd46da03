"""Reading and writing the field's specification files."""

from hwsim.spec.load import Spec, find_architecture, load_architecture, load_specs, shipped_architectures
from hwsim.spec.mapping import mapping_to_timeloop

__all__ = [
    "Spec",
    "find_architecture",
    "load_architecture",
    "load_specs",
    "mapping_to_timeloop",
    "shipped_architectures",
]
