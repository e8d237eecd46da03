"""Pricing: what every action of an architecture's components costs, from published tables."""

from hwsim.pricing.price import class_attributes, class_fields, price_architecture, price_units

__all__ = ["class_attributes", "class_fields", "price_architecture", "price_units"]
