"""The mapper: the best mapping of a problem on an architecture, with proof."""

from hwsim.mapper.exact import search

__all__ = ["search"]
