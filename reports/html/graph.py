"""The network as a graph: an operator a row in the order in which it runs, with its cost.

Neighbours are joined by a straight line; an edge that passes over other operators (a residual branch, a skip
connection) leaves to a lane of its own on the left.
"""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx

from hwsim.architecture import Architecture
from hwsim.cost import NetworkCost, NetworkLayer
from hwsim.reports import units
from hwsim.reports.figures import layer_of
from hwsim.reports.html.page import text
from hwsim.reports.palette import component_roles
from hwsim.workloads.workload import Operator, Workload

ROW = 24
LANE = 11
GUTTER = 150  # width that the lanes share at most
MANY = 200  # operators above which those that follow a single other one are drawn inside it


def operator_graph(workload: Workload) -> nx.DiGraph[str]:
    """The network's inputs and the operators that run; an edge is a tensor that one writes and another reads."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    producer: dict[str, str] = {}
    taken = {op.name for op in workload.operators}
    for name in workload.graph_inputs:
        if not workload.tensors[name].constant and name not in taken:
            graph.add_node(name, operator=Operator(name, "input", (), (name,)), inside=())
            producer[name] = name
    for op in workload.operators:
        if not op.outputs or not workload.active(op):
            continue
        graph.add_node(op.name, operator=op, inside=())
        for name in op.inputs:
            if name in producer and not workload.tensors[name].constant:
                graph.add_edge(producer[name], op.name)
        producer |= dict.fromkeys(op.outputs, op.name)
    return graph


def folded(graph: nx.DiGraph[str]) -> nx.DiGraph[str]:
    """The graph with every unmapped operator that reads one other operator's result, its only reader, inside that."""
    out = graph.copy()
    for name in list(out):
        op: Operator = out.nodes[name]["operator"]
        before = list(out.predecessors(name))
        if op.mapped or len(before) != 1 or out.out_degree(before[0]) != 1:
            continue
        host = before[0]
        out.nodes[host]["inside"] += (op.op, *out.nodes[name]["inside"])
        out.add_edges_from((host, after) for after in list(out.successors(name)))
        out.remove_node(name)
    return out


def lanes(edges: Sequence[tuple[int, int]]) -> dict[int, int]:
    """A lane for every row that edges leave, so that two on the same lane share no more than an end."""
    last: dict[int, int] = {}
    for start, end in edges:
        last[start] = max(end, last.get(start, end))
    busy: list[int] = []
    out = {}
    for start in sorted(last):
        lane = next((k for k, until in enumerate(busy) if until <= start), len(busy))
        busy[lane : lane + 1] = [last[start]]
        out[start] = lane
    return out


def draw(cost: NetworkCost, architecture: Architecture) -> tuple[str, str]:
    """The graph, a row of HTML per operator with its piece of the drawing, and what is to be said about it."""
    graph = operator_graph(cost.workload)
    said = f"{sum(1 for op in cost.workload.operators if op.name in graph)} operators in the order in which they run."
    if graph.number_of_nodes() > MANY:
        graph = folded(graph)
        said += " One that is not mapped and only follows another is named beside it."
    order = list(nx.lexicographical_topological_sort(graph, key={n: k for k, n in enumerate(graph)}.__getitem__))
    row = {name: k for k, name in enumerate(order)}
    edges = sorted((row[a], row[b]) for a, b in graph.edges)
    over = [e for e in edges if e[1] - e[0] > 1]
    lane = lanes(over)
    if over:
        said += " Edges that pass over others, such as residual branches, run in lanes on the left."
    depth = 1 + max(lane.values(), default=-1)
    pitch = min(LANE, GUTTER / depth) if depth else 0.0
    spine = 14 + depth * pitch
    paths: list[list[str]] = [[] for _ in order]
    reached: dict[int, int] = {}  # row → how far its lane is drawn
    for a, b in edges:
        if b - a == 1:
            drawn, first = f'<path class="edge" d="M{spine:.1f} {_y(a)}V{_y(b)}"/>', a
        else:
            first = reached.get(a, a)
            drawn = _skip(spine, spine - 8 - (lane[a] + 0.4) * pitch, _y(first), _y(b), first == a)
            reached[a] = b
        for passed in range(first, b + 1):
            paths[passed].append(drawn)
    layer, most = layer_of(cost), max((x.cost.energy_pj for x in cost.layers), default=1.0)
    roles, width, rows = component_roles(architecture), round(spine + 14), []
    for k, name in enumerate(order):
        op: Operator = graph.nodes[name]["operator"]
        inside: tuple[str, ...] = graph.nodes[name]["inside"]
        found = None if name not in layer else cost.layers[layer[name]]
        # a drawing for every row, so that pages of paper can part the graph between any two
        svg = (
            f'<svg width="{width}" height="{ROW}" viewBox="0 {ROW * k} {width} {ROW}" aria-hidden="true">'
            f"{''.join(paths[k])}{_dot(spine, _y(k), found, most, roles)}</svg>"
        )
        rows.append(f'<div class="graph-row">{svg}{_row(op, inside, layer.get(name), found, most, roles)}</div>')
    return f'<div class="graph" tabindex="0" role="group" aria-label="network graph">{"".join(rows)}</div>', said


def _y(row: int) -> int:
    return ROW * row + ROW // 2


def _skip(spine: float, x: float, a: int, b: int, leaves: bool) -> str:
    """An edge from height a to height b through the lane at x; one that does not leave goes on in the lane."""
    bend = min(10.0, (b - a) / 2)
    start = f"M{spine:.1f} {a}C{x:.1f} {a} {x:.1f} {a} {x:.1f} {a + bend:g}" if leaves else f"M{x:.1f} {a - bend:g}"
    end = f"V{b - bend:g}C{x:.1f} {b} {x:.1f} {b} {spine:.1f} {b}"
    return f'<path class="edge skip" d="{start}{end}"/>'


def _dot(x: float, y: int, layer: NetworkLayer | None, most: float, roles: dict[str, str]) -> str:
    """A mapped operator's area is in proportion to its energy, its colour that of the component that takes most."""
    if layer is None:
        return f'<circle class="plain" cx="{x:.1f}" cy="{y}" r="3.2"/>'
    by_level = layer.cost.energy_by_level_pj
    top, radius = max(by_level, key=lambda n: by_level[n]), 3.5 + 5 * units.share(layer.cost.energy_pj, most) ** 0.5
    return f'<circle cx="{x:.1f}" cy="{y}" r="{radius:.2f}" style="fill:var(--{roles[top]})"/>'


def _row(
    op: Operator,
    inside: Sequence[str],
    number: int | None,
    layer: NetworkLayer | None,
    most: float,
    roles: dict[str, str],
) -> str:
    kind = " + ".join((op.op, *inside))
    name = (
        f'<span class="op-name" title="{text(op.name)}">{text(op.name)}</span><span class="op-kind">{text(kind)}</span>'
    )
    if layer is None:
        return f'<div class="op dim">{name}</div>'
    pieces = "".join(
        f'<i style="width:{100 * units.share(pj, most):.2f}%;background:var(--{roles[n]})"></i>'
        for n, pj in layer.cost.energy_by_level_pj.items()
    )
    shown, cycles = units.energy(layer.cost.energy_pj), units.count(layer.cost.cycles)
    spoken = f"{op.name}, {op.op}, {shown}, {cycles} cycles"
    return (
        f'<div class="op" data-detail="{number}" tabindex="0" role="button" aria-label="{text(spoken)}">{name}'
        f'<span class="op-bar">{pieces}</span><span class="op-energy">{shown}</span>'
        f'<span class="op-cycles">{cycles} cycles</span></div>'
    )
