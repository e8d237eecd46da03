"""Pricing: what every action of an architecture's components costs, from published tables."""

from hwsim.pricing.price import price_architecture

__all__ = ["price_architecture"]
