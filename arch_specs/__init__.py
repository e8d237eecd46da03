"""Architectures and energy tables, as data files beside this module."""
