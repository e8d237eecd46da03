"""What the counts would be if the machine followed the trusted figures' short cuts: the lines between the two.

The cost model counts as Timeloop does, and two of its habits no machine can follow: it walks iterations 0 and 1 of
every loop and lets iteration 1 stand for all later ones, and it spreads traffic evenly where instances differ. This
module steps the machine's own control through the short walk, and then does the sums of a result the way Timeloop does.
Both give integers, so that

    counted by the machine = model + extrapolation + sharing + first visits

holds exactly, with every line worked out without the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.array.control import FIRST, Links, TileControl, groups
from hwsim.array.plan import (
    OUTSIDE,
    Node,
    Plan,
    TimeLoop,
    make_mesh,
    make_node,
    per_plan,
    sizes_inside,
    steps_of,
    strides,
)
from hwsim.workloads.problem import DataSpace


@dataclass
class Traffic:
    """What a level serves to the instances right below it in the short walk, per instance of the level, in words.

    Attributes:
        asked: accesses. delivered: words that arrive, counted at every instance. handed: passed between neighbours.
        requested: as ``asked``, with the handovers that the machine does.
        received: words that each instance below takes. passed: words that neighbours hand on in the machine.
    """

    fanout: int
    asked: int = 0
    delivered: int = 0
    handed: int = 0
    requested: int = 0
    received: int = 0
    passed: int = 0
    scale: float = 1.0


@dataclass(frozen=True)
class Presumed:
    """Counts of one data space at one storage, all instances together.

    ``walked``: (reads without first visits, fills without first visits, updates, links) of the short walk;
    ``figure``: (reads, fills, updates, links) as the sums of a result come out, with the instance's share of the data
    space as first visits; ``counted_first``: the same with the first visits that the machine counted.
    """

    walked: tuple[int, int, int, int]
    figure: tuple[int, int, int, int]
    counted_first: tuple[int, int, int, int]


def short_walk(loops: int, bounds: list[int]) -> Iterator[tuple[int, int]]:
    """(loop that advances, how many steps this one stands for) through iterations 0 and 1 of each loop."""
    yield FIRST, 1
    last = (0,) * loops
    for index in itertools.islice(itertools.product((0, 1), repeat=loops), 1, None):
        advanced = next(k for k, (a, b) in enumerate(zip(index, last, strict=True)) if a != b)
        weight = math.prod(bound - 1 for i, bound in zip(index, bounds, strict=True) if i)
        last = index
        yield advanced, weight


@per_plan
def traffic(plan: Plan) -> list[list[Traffic]]:
    """Per data space its short walk at every level, outer → inner."""
    return [_traffic(plan, space) for space in range(len(plan.chains))]


def _traffic(plan: Plan, space: int) -> list[Traffic]:
    problem, architecture, mapping = plan.problem, plan.architecture, plan.mapping
    loops, across = strides(problem, mapping)
    sizes = sizes_inside(problem, mapping)
    out = []
    data_space = problem.data_spaces[space]
    for level in range(len(mapping.levels)):
        mesh = make_mesh(architecture, problem, data_space, level, across[level])
        node = make_node(
            problem, architecture, space, level + 1, loops, sizes[level + 1], plan.used[level + 1], [], (mesh,)
        )
        out.append(_serve(node, data_space, list(loops)))
    _pass_on(out, [plan.nodes[k] for k in plan.chains[space] if plan.nodes[k].level != OUTSIDE])
    return out


def _serve(node: Node, space: DataSpace, loops: list[TimeLoop]) -> Traffic:
    mesh = node.meshes[0]
    bounds = [loop.bound for loop in loops[: node.loops]]
    outside = loops[: node.loops]
    control = TileControl(node, steps_of(space, outside, [2] * node.loops))  # loops rewind from iteration 1
    links = Links(mesh)
    found = Traffic(mesh.size)
    all_groups = groups(mesh)
    before = None
    for advanced, weight in short_walk(node.loops, bounds):
        region = control.advance(advanced)
        words = weight * (region.words if region else 0)
        figure = words - weight * control.again
        handover = links.handover(region, before)
        taken = handover.taken if handover else 0
        asked = sum(handover.leads) if handover else all_groups
        found.asked += figure * asked
        found.delivered += figure * (mesh.size - taken)
        found.handed += figure * taken
        found.received += words
        if space.read_write and node.holds:  # partial sums stay with the instance that holds them
            found.requested += words * all_groups
        else:
            found.requested += words * asked
            found.passed += words * taken
        before = region
    return found


def presume(plan: Plan, first_visits: dict[int, int]) -> dict[tuple[int, int], Presumed]:
    """Per (level, data space) what the short walk and the sums of a result come to.

    Args:
        first_visits: node → elements that had no partial sum to read when they were first updated, as the machine
            counted them (all instances together).
    """
    out = {}
    for space, nodes_of in enumerate(plan.chains):
        served = traffic(plan)[space]
        chain = tuple(k for k in nodes_of if plan.nodes[k].level != OUTSIDE)
        nodes = [plan.nodes[k] for k in chain]
        shares = _shares(plan, space)
        for position, (number, node) in enumerate(zip(chain[:-1], nodes[:-1], strict=True)):
            child = nodes[position + 1]
            out[node.level, space] = Presumed(
                _walked(plan, served, node, child, position == 0),
                _figure(plan, served, node, shares[node.level], position == 0),
                _figure(plan, served, node, first_visits.get(number, 0) / node.instances, position == 0),
            )
    return out


def _walked(plan: Plan, served: list[Traffic], node: Node, child: Node, outermost: bool) -> tuple[int, int, int, int]:
    """The machine's own totals over the short walk: requests of the children, and what arrives here."""
    requests = served[child.level - 1].requested * node.instances
    for mesh in child.meshes[:-1]:
        requests *= groups(mesh)
    fills = passed = 0
    if not outermost:
        inward = served[node.level - 1]
        fills = inward.received * node.instances
        passed = inward.passed * plan.used[node.level - 1]
    if plan.problem.data_spaces[node.space].read_write:
        return requests, fills, requests, passed
    return requests + passed, fills, 0, passed


def _pass_on(served: list[Traffic], nodes: list[Node]) -> None:
    """A level that passes a data space on multiplies what its children ask for by its own pattern's ratio."""
    kept = {node.level for node in nodes[:-1]}
    for level in range(len(served) - 1, nodes[0].level, -1):
        if level in kept:
            continue
        inner, outer = served[level], served[level - 1]
        # Timeloop divides first by what is delivered; the order decides the last bit.
        outer.scale = inner.asked * inner.scale * outer.fanout / outer.delivered
        outer.handed = 0


def _shares(plan: Plan, space: int) -> list[int]:
    """Per level the elements that one instance is taken to touch: whole × tile ÷ hull of all, level by level."""
    sizes = sizes_inside(plan.problem, plan.mapping)
    data_space = plan.problem.data_spaces[space]

    def hull(size: dict[str, int]) -> int:
        return math.prod(1 + sum(c * (size[d] - 1) for c, d in rank) for rank in data_space.projection)

    shares = [hull(sizes[0])]
    for level, placed in enumerate(plan.mapping.levels[:-1]):
        across = dict(sizes[level + 1])
        for loop in placed.spatial:
            across[loop.dim] *= loop.bound
        shares.append(shares[-1] * hull(sizes[level + 1]) // hull(across))
    return shares


def _figure(plan: Plan, served: list[Traffic], node: Node, first: float, outermost: bool) -> tuple[int, int, int, int]:
    """Reads, fills, updates and links as a result states them (per instance, rounded), times the instances."""
    level = node.level
    asked = served[level].asked * served[level].scale
    share = peer = 0.0
    if not outermost:
        inward = served[level - 1]
        share = _delivered_share(inward)
        peer = inward.handed / node.instances
    if plan.problem.data_spaces[node.space].read_write:
        elided = 0 if node.first_read else first
        reads = max(0, _round(asked + peer - elided))
        fills = max(0, _round(share + peer - (0 if outermost else elided)))
        updates = _round(asked)
    else:
        reads, fills, updates = _round(asked + peer), int(share + peer), 0
    counts = (reads, fills, updates, int(peer))
    a, b, c, d = counts
    n = node.instances
    return a * n, b * n, c * n, d * n


def _delivered_share(inward: Traffic) -> float:
    return inward.delivered / inward.fanout


def _round(words: float) -> int:
    return math.floor(words + 0.5)
