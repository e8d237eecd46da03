"""A network on a systolic array: every mapped layer as matrix products, in closed form and, on request, stepped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hwsim.array.systolic import MatrixProduct, SystolicCycles, SystolicDesign, cycles, matrix_product
from hwsim.errors import HwsimError
from hwsim.workloads.workload import Unmapped, Workload

#: What one layer may take to step: cycles × PEs, and words of inputs, weights and outputs together.
MAX_PE_STEPS = 4_000_000_000
MAX_WORDS = 40_000_000


@dataclass(frozen=True)
class Stepped:
    """What stepping a layer showed.

    Attributes:
        cycles: counted; None where the layer was refused.
        product_matches: the machine's results are those of the matrix product.
        refused: why it was not stepped, empty where it was.
    """

    cycles: SystolicCycles | None = None
    product_matches: bool = False
    refused: str = ""


@dataclass(frozen=True)
class SystolicLayer:
    """A distinct problem of a network: every operator that computes it, and what one occurrence takes."""

    name: str
    op: str
    names: tuple[str, ...]
    count: int
    product: MatrixProduct
    cycles: SystolicCycles
    utilization: float
    stepped: Stepped | None = None

    @property
    def agrees(self) -> bool:
        """Stepping, where it was done, found the same cycles in every phase and the right product."""
        if self.stepped is None or self.stepped.refused:
            return True
        return self.stepped.product_matches and self.stepped.cycles == self.cycles


@dataclass(frozen=True)
class SystolicNetwork:
    """A network on a systolic array; totals count every occurrence of every layer."""

    model: str
    design: SystolicDesign
    layers: tuple[SystolicLayer, ...]
    unmapped: tuple[Unmapped, ...] = ()
    cycle_seconds: float | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return sum(x.count * x.product.macs for x in self.layers)

    @property
    def cycles(self) -> SystolicCycles:
        """Cycles by phase, one layer after the other."""
        parts = [[x.count * getattr(x.cycles, phase) for x in self.layers] for phase in PHASES]
        return SystolicCycles(*map(sum, parts))

    @property
    def utilization(self) -> float:
        """Multiply-accumulates over PEs × cycles, 0–1."""
        return self.macs / (self.design.pes * self.cycles.total) if self.layers else 0.0


PHASES = ("preload", "fill", "stream", "drain")


def layer_on(design: SystolicDesign, product: MatrixProduct, name: str, op: str = "MatMul") -> SystolicLayer:
    """One product as a layer of its own."""
    spent = cycles(design, product)
    return SystolicLayer(name, op, (name,), 1, product, spent, product.macs / (design.pes * spent.total))


def network_on(workload: Workload, design: SystolicDesign, cycle_seconds: float | None = None) -> SystolicNetwork:
    """Every mapped layer of a network in closed form.

    Raises:
        HwsimError: a layer is no matrix product.
    """
    layers = []
    for layer in workload.layers():
        try:
            product = matrix_product(layer.problem)
        except HwsimError as error:
            raise HwsimError(error.message, where=f"{workload.name}: {layer.name}") from error
        layers.append(replace(layer_on(design, product, layer.name, layer.op), names=layer.names, count=layer.count))
    return SystolicNetwork(workload.name, design, tuple(layers), workload.unmapped(), cycle_seconds)


def refusal(design: SystolicDesign, product: MatrixProduct) -> str:
    """Why a layer is too large to step; empty where it is not."""
    steps = cycles(design, product).total * design.pes
    words = product.groups * (
        product.tokens * (product.reduction + product.outputs) + product.reduction * product.outputs
    )
    if steps > MAX_PE_STEPS:
        return f"{steps:.3g} PE-cycles, at most {MAX_PE_STEPS:.3g} are stepped"
    if words > MAX_WORDS:
        return f"{words:.3g} words of operands, at most {MAX_WORDS:.3g} are kept"
    return ""


def step_layer(design: SystolicDesign, layer: SystolicLayer, bits: int = 8, seed: int = 0) -> SystolicLayer:
    """The layer with what stepping it on random operands of ``bits`` bits showed."""
    reason = refusal(design, layer.product)
    if reason:
        return replace(layer, stepped=Stepped(refused=reason))
    from hwsim.array import systolic_kernel
    from hwsim.array.systolic_machine import random_operands

    inputs, weights = random_operands(layer.product, bits, seed)
    run = systolic_kernel.run(design, layer.product, inputs, weights)
    # Doubles hold every integer up to 2^53, and far smaller sums are all that operands of a few bits can make.
    expected = inputs.astype(float) @ weights.astype(float)
    matches = bool((run.results == expected).all())
    return replace(layer, stepped=Stepped(run.cycles, matches))


def step_network(
    network: SystolicNetwork, seed: int = 0, progress: Callable[[int, int, str], None] | None = None
) -> SystolicNetwork:
    """The network with every layer stepped that is small enough; ``progress`` gets layers done, layers, the next."""
    layers = []
    for done, layer in enumerate(network.layers):
        if progress:
            progress(done, len(network.layers), layer.name)
        layers.append(step_layer(network.design, layer, seed=seed))
    return replace(network, layers=tuple(layers))
