"""`hwsim simulate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep
from typing import Annotated, Any

import numpy as np
import typer

from hwsim.architecture import Architecture
from hwsim.array.arithmetic import arithmetic
from hwsim.array.compare import compare_counts, compare_cycles
from hwsim.array.machine import Machine
from hwsim.array.network import Graph, LayerRun, contract, refusal, run_layer, run_network
from hwsim.array.operators import Call, Tensor
from hwsim.array.plan import plan
from hwsim.array.reference import Verdict, check_operator, compare, run_model
from hwsim.array.trace import MOST_MACS, traced
from hwsim.cli.shared import (
    ObjectiveText,
    check_outputs,
    console,
    dims,
    json_text,
    progress_bar,
    show,
    zoo_or_file,
)
from hwsim.cost import Illegal, LayerCost
from hwsim.design import Design, load_design
from hwsim.design.settings import Setting
from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.network import map_layer
from hwsim.reports import simulation as report
from hwsim.reports.simulation import array_frame
from hwsim.workloads.onnx_reader import read_onnx
from hwsim.workloads.problem import Problem

MOST_WATCHED = 256  # multipliers that fit on a screen
FRAME_SECONDS = 0.05


def simulate(
    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")],
    layer: Annotated[
        str | None, typer.Option(help="Run this layer alone; without it the network, layer by layer.")
    ] = None,
    arch: Annotated[str, typer.Option(help="Architecture: a name of `hwsim archs` or a file.")] = "simple_ws",
    objective: ObjectiveText = "edp",
    dim: Annotated[
        list[str] | None, typer.Option(help="Size of a symbolic dimension, NAME=SIZE; repeat for more.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the architecture, COMPONENT.ATTRIBUTE=VALUE, such as mac.overflow=wrap."),
    ] = None,
    input: Annotated[
        str, typer.Option(help="'random', or a .npy file with the layer's (or network's) input.")
    ] = "random",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    trace: Annotated[
        Path | None, typer.Option(help="With --layer: write a Trace Event file for Perfetto or chrome://tracing.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="With --layer: show a small array at work.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON (hwsim.simulate/1).")] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Search again, without looking at or keeping cached mappings.")
    ] = False,
) -> None:
    """Run layers on the array, word by word: their true output, every access counted beside the model's, cycles."""
    if layer is None and (trace is not None or watch):
        raise HwsimError("a trace or the array at work can be shown of one layer: name it with --layer.")
    quiet = check_outputs(trace=trace, json=json)
    if quiet and watch:
        raise HwsimError("the array is shown on standard output; write the result into a file.", where="--watch")
    design = load_design(arch, [Setting.parse(text) for text in settings or []])
    architecture, rng = design.architecture, np.random.default_rng(seed)
    with zoo_or_file(model) as path:
        workload = read_onnx(path, dims(dim or []))
        graph = Graph(path, workload, model)
        graph.fill_weights(rng)

    def cost_of(problem: Problem, name: str) -> LayerCost:
        return _mapped(problem, design, objective, name, not no_cache)

    if layer is None:
        runs, verdicts, seconds, final = _network(graph, architecture, cost_of, input, rng)
        outputs = final or {}
        shown = [report.network_table(runs, verdicts, seconds)]
        shown += [report.verdict_line(n, v) for n, v in outputs.items()]
        right = all(v.agrees for v in (*verdicts, *outputs.values()))
    else:
        run, verdict, took = _layer(graph, architecture, cost_of, layer, input, rng, trace, watch)
        shown = [report.layer_tables(run, verdict, f"{layer} ({run.op}) on {architecture.name}")]
        runs, verdicts, seconds = [run], [verdict], [took]
        right, final = verdict.agrees, {}
    if not quiet:
        show(*shown)
    if json is not None:
        data = report.simulation_data(workload.name, architecture.name, runs, verdicts, seconds)
        write_file(json, json_text(data))
    if final is None:
        raise KeyboardInterrupt
    if not right or not _explained(runs):
        raise typer.Exit(1)


def _mapped(problem: Problem, design: Design, objective: str, name: str, use_cache: bool) -> LayerCost:
    """The mapping that `profile` chooses, with its cost."""
    cost = map_layer(problem, design, objective, use_cache=use_cache)
    if isinstance(cost, Illegal):
        raise refusal(name, design.architecture, cost)
    return cost


def _explained(runs: list[LayerRun]) -> bool:
    return all(
        compare_cycles(run.simulation, run.cost).explained
        and all(c.explained for c in compare_counts(run.simulation, run.cost))
        for run in runs
    )


def _network(
    graph: Graph,
    architecture: Architecture,
    cost_of: Callable[[Problem, str], LayerCost],
    source: str,
    rng: np.random.Generator,
) -> tuple[list[LayerRun], list[Verdict], list[float], dict[str, Verdict] | None]:
    """Run the whole network; its runs with verdicts and seconds, and verdicts on its outputs (None: interrupted)."""
    wanted = graph.layers()
    costs: dict[Problem, LayerCost] = {}
    with progress_bar("mapping") as tick:
        for k, (name, problem) in enumerate(wanted.items()):
            tick(k, len(wanted), name)
            if problem not in costs:
                costs[problem] = cost_of(problem, name)
    feed = graph.feed(source, rng)
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
        return runs, verdicts[: len(runs)], seconds, None
    expected, who = run_model(graph.model, feed)
    return runs, verdicts, seconds, {name: compare(value, expected[name], who) for name, value in outputs.items()}


def _layer(
    graph: Graph,
    architecture: Architecture,
    cost_of: Callable[[Problem, str], LayerCost],
    name: str,
    source: str,
    rng: np.random.Generator,
    trace: Path | None,
    watch: bool,
) -> tuple[LayerRun, Verdict, float]:
    """Run one layer, trace and show it where that is asked for."""
    node = graph.node(name)
    problem = graph.operator(node).problems[0][0]
    cost = cost_of(problem, name)
    call = graph.layer_call(node, source, rng)
    if trace is not None or watch:
        _trace(architecture, cost, name, call, trace, watch)
    with progress_bar(f"simulating {name}") as tick:
        start = perf_counter()
        run = run_layer(architecture, cost, name, call, lambda done, total: tick(done, total, ""))
        took = perf_counter() - start
    return run, check_operator(call, run.output, graph.opset), took


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
