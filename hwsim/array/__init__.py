"""The PE array, stepped cycle by cycle: it moves real operands and computes the layer."""
