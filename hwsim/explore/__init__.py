"""Design-space exploration: a space in a file, designs evaluated side by side, results in one store, the front."""

from enum import StrEnum


class SamplerName(StrEnum):
    """Who proposes designs: NSGA-II, the tree-structured Parzen estimator, a low-discrepancy sequence."""

    nsga2 = "nsga2"
    tpe = "tpe"
    qmc = "qmc"
