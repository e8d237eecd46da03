"""The figures that objectives and constraints may speak of, and units to write bounds in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["minimise", "maximise"]


@dataclass(frozen=True)
class Figure:
    """One figure of a design.

    Attributes:
        unit: of its value; what `UNITS` are factors of.
        known_from: what has to be known first: the ``hardware``, the ``network``, or its ``mapping`` on the hardware.
        direction: which way is better.
        most: what no design exceeds.
    """

    unit: str
    known_from: Literal["hardware", "network", "mapping"]
    meaning: str
    direction: Direction = "minimise"
    most: float = float("inf")


#: All are zero or more. With several models: sums are weighted, peaks are of the model that has the highest.
FIGURES: dict[str, Figure] = {
    "area": Figure("µm²", "hardware", "all components whose area is known, all instances"),
    "on_chip_bytes": Figure("bytes", "hardware", "what all memories on the chip hold"),
    "compute_instances": Figure("", "hardware", "multiply-accumulate units"),
    "macs": Figure("", "network", "multiply-accumulates of one inference"),
    "params": Figure("", "network", "parameters"),
    "weight_bytes": Figure("bytes", "network", "weights as stored"),
    "peak_activation_bytes": Figure("bytes", "network", "largest input plus output of a layer"),
    "accuracy": Figure(
        "share", "network", "of the test set that is right: the space or the file says", "maximise", 1.0
    ),
    "energy": Figure("pJ", "mapping", "of one inference"),
    "latency": Figure("cycles", "mapping", "of one inference"),
    "seconds": Figure("s", "mapping", "latency at the architecture's clock"),
    "edp": Figure("J·cycles", "mapping", "energy × latency"),
    "power": Figure("W", "mapping", "energy / seconds"),
    "peak_power": Figure("W", "mapping", "highest power of any layer: its energy / its time"),
    "utilization": Figure("share", "mapping", "multiply-accumulates / (latency × compute instances)", "maximise", 1.0),
    "points": Figure("", "mapping", "by the rubric", "maximise"),
}

#: Names that bounds may be written with: ``area <= 2.5 * mm2``.
UNITS: dict[str, float] = {
    "pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "mJ": 1e9, "J": 1e12,
    "um2": 1.0, "mm2": 1e6,
    "W": 1.0, "mW": 1e-3, "uW": 1e-6,
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9,
    "B": 1, "kB": 1000, "MB": 10**6, "KiB": 1024, "MiB": 2**20,
}  # fmt: skip
