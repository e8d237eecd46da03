"""The mapper: the best mapping of a problem on an architecture, with proof."""

from hwsim.mapper.exact import pareto, search

__all__ = ["pareto", "search"]
