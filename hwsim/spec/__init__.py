"""The field's specification files: what they say, as hwsim's types."""

from hwsim.spec.mapping import mapping_to_timeloop

__all__ = ["mapping_to_timeloop"]
