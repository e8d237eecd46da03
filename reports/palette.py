"""Colours, one table for the page and the plots: a component has the same colour in every figure."""

from __future__ import annotations

from hwsim.architecture import Architecture

#: role → (on paper and light screens, on dark ones)
ROLES: dict[str, tuple[str, str]] = {
    "surface": ("#ffffff", "#13171d"),
    "raised": ("#f5f7f9", "#1b2129"),
    "ink": ("#1d2530", "#e6eaef"),
    "muted": ("#5c6775", "#9aa5b3"),
    "rule": ("#e2e6ea", "#2b333d"),
    "accent": ("#17677f", "#63bbd2"),
    "good": ("#2c7a4b", "#6cc78f"),
    "bad": ("#b3402e", "#ef8d79"),
    # memories from the outermost to those beside the multipliers
    "c0": ("#264f80", "#5a8fd0"),
    "c1": ("#4d9acb", "#a5d4ef"),
    "c2": ("#35a08f", "#4fc4b0"),
    "c3": ("#86ad4e", "#aed27a"),
    "c4": ("#bfa43a", "#dcc765"),
    "c5": ("#9a7cbd", "#bda2db"),
    "c6": ("#c4718c", "#e096ad"),
    "c7": ("#7f8a96", "#9ba6b2"),
    "compute": ("#dc7f2f", "#f2a45e"),
    # designs beside one another
    "s0": ("#7c8794", "#a3adb9"),
    "s1": ("#17677f", "#63bbd2"),
    "s2": ("#c25b2c", "#f0976a"),
    "s3": ("#6a5bb3", "#a99df0"),
    "s4": ("#4d8a35", "#8dcb73"),
    "s5": ("#b1386f", "#ea82b0"),
}
MEMORIES = 8
DESIGNS = 6


def component_roles(architecture: Architecture) -> dict[str, str]:
    """Component → role of its colour: memories by their place in the hierarchy, and the compute unit."""
    roles = {level.name: f"c{min(k, MEMORIES - 1)}" for k, level in enumerate(architecture.storages)}
    return roles | {architecture.compute.name: "compute"}


def named_roles(components: list[str]) -> dict[str, str]:
    """The same for components that only a list is known of, outermost first and the compute unit last."""
    roles = {name: f"c{min(k, MEMORIES - 1)}" for k, name in enumerate(components[:-1])}
    return roles | {name: "compute" for name in components[-1:]}


def design_role(index: int) -> str:
    """Role of one of several designs' colour; the first is the one that others are compared with."""
    return "s0" if index == 0 else f"s{1 + (index - 1) % (DESIGNS - 1)}"
