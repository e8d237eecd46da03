"""`hwsim simulate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import RenderableType

from hwsim.architecture import Architecture
from hwsim.array.arithmetic import arithmetic
from hwsim.array.compare import compare_counts, compare_cycles
from hwsim.array.machine import Machine
from hwsim.array.network import Graph, LayerRun, contract, refusal, run_layer, run_network
from hwsim.array.plan import plan
from hwsim.array.reference import Verdict, check_operator, compare, run_model
from hwsim.array.trace import MOST_MACS, traced
from hwsim.cli.groups import Group
from hwsim.cli.options import (
    HardwareOptions,
    JsonPath,
    ModelOptions,
    NoCache,
    ObjectiveOption,
    Seed,
    zoo_or_file,
)
from hwsim.cli.shared import check_outputs, console, progress_bar, show, show_notes
from hwsim.cost import Illegal, LayerCost
from hwsim.design import Design
from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.network import map_layer
from hwsim.objective import EDP
from hwsim.reports import simulation as report
from hwsim.reports.simulation import array_frame
from hwsim.reports.table import json_text
from hwsim.workloads.operators.execution import Call, Tensor
from hwsim.workloads.problem import Problem

MOST_WATCHED = 256  # multipliers that fit on a screen
FRAME_SECONDS = 0.05


@dataclass(frozen=True)
class LayerOptions(Group):
    """One layer alone, and how its work is followed."""

    layer: Annotated[str | None, typer.Option(help="Run this layer alone; without it the network, layer by layer.")] = (
        None
    )
    trace: Annotated[
        Path | None, typer.Option(help="With --layer: write a Trace Event file for Perfetto or chrome://tracing.")
    ] = None
    watch: Annotated[bool, typer.Option("--watch", help="With --layer: show a small array at work.")] = False

    @property
    def followed(self) -> bool:
        """Whether its work is followed word by word."""
        return self.trace is not None or self.watch


@dataclass(frozen=True)
class MappedBy(Group):
    """Which mappings the layers run under."""

    objective: ObjectiveOption = EDP
    no_cache: NoCache = False

    def cost(self, problem: Problem, design: Design, name: str) -> LayerCost:
        """The mapping that `profile` chooses, with its cost."""
        cost = map_layer(problem, design, self.objective, use_cache=not self.no_cache)
        if isinstance(cost, Illegal):
            raise refusal(name, design.architecture, cost)
        return cost


@dataclass(frozen=True)
class _Simulated:
    """What was simulated: layers, what their outputs are like, seconds; and the network's outputs.

    Attributes:
        outputs: of the network; none for a layer alone.
        interrupted: whether layers are missing.
    """

    runs: list[LayerRun]
    verdicts: list[Verdict]
    seconds: list[float]
    outputs: dict[str, Verdict] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def right(self) -> bool:
        """Whether all outputs agree, and every difference from the model's counts and cycles is explained."""
        return all(v.agrees for v in (*self.verdicts, *self.outputs.values())) and _explained(self.runs)


def simulate(
    network: ModelOptions,
    one: LayerOptions,
    hardware: HardwareOptions,
    mapped: MappedBy,
    input: Annotated[
        str, typer.Option(help="'random', or a .npy file with the layer's (or network's) input.")
    ] = "random",
    seed: Seed = 0,
    json: JsonPath = None,
) -> None:
    """Run layers on the array, word by word: their true output, every access counted beside the model's, cycles."""
    if one.layer is None and one.followed:
        raise HwsimError("a trace or the array at work can be shown of one layer: name it with --layer.")
    quiet = check_outputs(trace=one.trace, json=json)
    if quiet and one.watch:
        raise HwsimError("the array is shown on standard output; write the result into a file.", where="--watch")
    design, notes = hardware.design()
    show_notes(notes)
    rng = np.random.default_rng(seed)
    with zoo_or_file(network.model) as path:
        workload = network.load(path)
        graph = Graph(path, workload, network.model)
        graph.fill_weights(rng)
    work = _Work(graph, design, mapped, input, rng)
    done = work.network() if one.layer is None else work.layer(one.layer, one.trace, one.watch)
    if not quiet:
        show(*_shown(done, one.layer, design.name))
    if json is not None:
        data = report.simulation_data(workload.name, design.name, done.runs, done.verdicts, done.seconds)
        write_file(json, json_text(data))
    if done.interrupted:
        raise KeyboardInterrupt
    if not done.right:
        raise typer.Exit(1)


def _shown(done: _Simulated, layer: str | None, arch: str) -> list[RenderableType]:
    """What the terminal shows."""
    if layer is not None:
        (run,), (verdict,) = done.runs, done.verdicts
        return [report.layer_tables(run, verdict, f"{layer} ({run.op}) on {arch}")]
    shown: list[RenderableType] = [report.network_table(done.runs, done.verdicts, done.seconds)]
    return shown + [report.verdict_line(name, verdict) for name, verdict in done.outputs.items()]


def _explained(runs: list[LayerRun]) -> bool:
    return all(
        compare_cycles(run.simulation, run.cost).explained
        and all(c.explained for c in compare_counts(run.simulation, run.cost))
        for run in runs
    )


@dataclass(frozen=True)
class _Work:
    """A network to be simulated on a design; ``source`` is where its input comes from."""

    graph: Graph
    design: Design
    mapped: MappedBy
    source: str
    rng: np.random.Generator

    def network(self) -> _Simulated:
        """Run the whole network."""
        graph, architecture = self.graph, self.design.architecture
        costs = self._costs()
        feed = graph.feed(self.source, self.rng)
        runs, verdicts, seconds = [], [], []
        outputs: dict[str, Tensor] = {}
        try:
            with progress_bar("simulating") as tick:
                last = perf_counter()
                for item in run_network(graph, architecture, costs, feed, lambda n, done, total: tick(done, total, n)):
                    now = perf_counter()
                    if isinstance(item, LayerRun):
                        verdicts.append(check_operator(item.call, item.output, graph.opset))
                        runs.append(item)
                        seconds.append(now - last)
                    else:
                        outputs = item
                    last = perf_counter()
        except KeyboardInterrupt:
            return _Simulated(runs, verdicts[: len(runs)], seconds, interrupted=True)
        expected, who = run_model(graph.model, feed)
        compared = {name: compare(value, expected[name], who) for name, value in outputs.items()}
        return _Simulated(runs, verdicts, seconds, compared)

    def _costs(self) -> dict[Problem, LayerCost]:
        """Every layer's mapping, with its cost."""
        wanted = self.graph.layers()
        costs: dict[Problem, LayerCost] = {}
        with progress_bar("mapping") as tick:
            for k, (name, problem) in enumerate(wanted.items()):
                tick(k, len(wanted), name)
                if problem not in costs:
                    costs[problem] = self.mapped.cost(problem, self.design, name)
        return costs

    def layer(self, name: str, trace: Path | None, watch: bool) -> _Simulated:
        """Run one layer, trace and show it where that is asked for."""
        node = self.graph.node(name)
        problem = self.graph.operator(node).problems[0][0]
        cost = self.mapped.cost(problem, self.design, name)
        call = self.graph.layer_call(node, self.source, self.rng)
        if trace is not None or watch:
            _trace(self.design.architecture, cost, name, call, trace, watch)
        with progress_bar(f"simulating {name}") as tick:
            start = perf_counter()
            run = run_layer(self.design.architecture, cost, name, call, lambda done, total: tick(done, total, ""))
            took = perf_counter() - start
        return _Simulated([run], [check_operator(call, run.output, self.graph.opset)], [took])


def _trace(
    architecture: Architecture, cost: LayerCost, name: str, call: Call, target: Path | None, watch: bool
) -> None:
    """Run the layer word by word; write its trace, show the array."""
    problem = cost.problem
    if problem.macs > MOST_MACS:
        raise HwsimError(
            f"layer '{name}' has {problem.macs:,} multiply-accumulates; traces are for at most {MOST_MACS:,}.",
            where="--watch" if target is None else "--trace",
        )
    made = contract(architecture, problem, name, call)
    planned = plan(problem, architecture.bind(tuple(s.name for s in problem.data_spaces)), cost.mapping)
    if isinstance(planned, Illegal):
        raise refusal(name, architecture, planned)
    if watch and planned.multipliers > MOST_WATCHED:
        raise HwsimError(
            f"layer '{name}' uses {planned.multipliers} multipliers; --watch shows at most {MOST_WATCHED}.",
            where="--watch",
        )
    how = arithmetic(architecture, floating=made.floating)
    machine = Machine(planned, made.operands, how, follow=True)
    if watch:
        tracer = _watched(machine, name)
    else:
        with progress_bar(f"tracing {name}") as tick:
            tracer = traced(machine, name, lambda done, total: tick(done, total, ""))
    if target is not None:
        write_file(target, tracer.json())


def _watched(machine: Machine, name: str) -> Any:
    """Run a machine with its array on the screen."""
    from rich.live import Live

    page = console()
    pause = FRAME_SECONDS if page.is_terminal else 0.0
    with Live(array_frame(machine, name), console=page, auto_refresh=False) as live:

        def show_step(now: Machine) -> None:
            if pause or now.steps == now.plan.steps:
                live.update(array_frame(now, name), refresh=True)
                sleep(pause)

        return traced(machine, name, each=show_step)
