"""From a plan to the arrays that the engine steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.array.layout import COUNT, LINK, LOOP, MOVED, NODE, PATTERNS, RANK, TILE, WALK, Machine, Places
from hwsim.array.plan import Node, Plan, per_plan
from hwsim.kernel import IntArray, Records


def build(plan: Plan, operands: dict[int, npt.NDArray[Any]], dtype: npt.DTypeLike) -> Machine:
    """A machine before its first step: operands stand in the outermost buffers, everything else is empty.

    Args:
        operands: node → the whole tensor, an axis per rank.
        dtype: of a word, int64 or float64.
    """
    wired = _wired(plan)
    nodes = wired.node
    words = sum(node.words * node.instances for node in plan.nodes if node.holds)
    buffer = np.zeros(max(1, words), dtype)
    valid = np.zeros(max(1, words), np.uint8)
    for n, tensor in operands.items():
        row = nodes[n]
        buffer[row["base"] : row["base"] + row["words"]] = tensor.reshape(-1)
    for row in nodes:
        if row["is_result"] and row["parent"] < 0 and row["first_read"]:
            valid[row["base"] : row["base"] + row["words"]] = 1
    linked = nodes[nodes["linked"]]
    fan = max([1, *linked["fan"].tolist()])
    staged = max([1, *(linked["words"] * linked["instances"]).tolist()])
    count, ranks = wired.rank.shape
    return wired._replace(
        loop=wired.loop.copy(),
        tile=np.zeros(count, TILE),
        counted=np.zeros(count, COUNT),
        moved=np.zeros(count, MOVED),
        rank=wired.rank.copy(),
        buffer=buffer,
        valid=valid,
        latch=np.zeros((2, plan.multipliers), dtype),
        total=np.zeros(plan.multipliers, dtype),
        passing=np.zeros(plan.multipliers, dtype),
        aim=np.zeros((3, plan.multipliers), np.int64),
        walk=np.zeros(ranks, WALK),
        source=np.zeros(max(node.instances for node in plan.nodes), np.int64),
        staged=np.zeros(staged, dtype),
        shift=np.zeros((count, PATTERNS, ranks), np.int64),
        helps=np.zeros((count, PATTERNS), np.bool_),
        link=np.zeros((count, PATTERNS, fan), LINK),
    )


_STATE = (
    "tile", "counted", "moved", "buffer", "valid", "latch", "total", "passing", "aim", "walk", "source", "staged",
    "shift", "helps", "link",
)  # fmt: skip


@per_plan
def _wired(plan: Plan) -> Machine:
    """What all machines of a plan have in common; fields that a run writes to are copied or left empty."""
    results = {k for k, space in enumerate(plan.problem.data_spaces) if space.read_write}
    nodes = _nodes(plan, results)
    rank = _ranks(plan)
    step = np.zeros((*rank.shape, len(plan.loops)), np.int64).swapaxes(1, 2).copy()
    places: list[Places] = []
    for n, node in enumerate(plan.nodes):
        for k, shift in enumerate(node.step):
            step[n, k, : len(shift)] = shift
        placed = _places(node, nodes, rank)
        apart = np.flatnonzero(placed.offset.any(axis=1))
        nodes["slidings"][n] = len(apart)
        rank["sliding"][n, : len(apart)] = apart
        rank["reach"][n] = placed.offset.max(axis=1)
        places.append(placed)
    operands_first = sorted(range(len(plan.chains)), key=lambda k: k in results)
    ends = np.array([plan.chains[k][-1] for k in operands_first], np.int64)
    nothing: dict[str, Any] = dict.fromkeys(_STATE, np.zeros(0))
    loop = np.zeros(len(plan.loops), LOOP)
    loop["bound"] = [x.bound for x in plan.loops]
    return Machine(
        loop=loop,
        node=nodes,
        rank=rank,
        step=step,
        place=Places(*(np.concatenate(part, axis=-1) for part in zip(*places, strict=True))),
        still=nodes["words"][nodes["parent"][ends]] == 1,
        moving=_moving(plan, nodes),
        ends=ends,
        **nothing,
    )


def _nodes(plan: Plan, results: set[int]) -> Records:
    """`Machine.node`, but for the ranks in which instances are apart."""
    nodes = np.zeros(len(plan.nodes), NODE)
    base = first = 0
    for row, node in zip(nodes, plan.nodes, strict=True):
        for name in ("words", "loops", "instances", "parent", "level", "holds", "refetch", "first_read"):
            row[name] = getattr(node, name)
        row["base"], row["first"] = base, first
        row["is_result"], row["leaders"] = node.space in results, node.placements.leaders
        row["fan"] = row["columns"] = row["rows"] = row["multicast"] = 1
        if node.meshes:
            mesh = node.meshes[-1]
            row["fan"], row["columns"], row["rows"] = mesh.size, mesh.columns, mesh.rows
            row["multicast"] = mesh.multicast
            row["linked"] = mesh.links and not (row["is_result"] and node.holds)
        first += node.instances
        base += node.words * node.instances if node.holds else 0
    return nodes


def _ranks(plan: Plan) -> Records:
    """`Machine.rank` before the first step, but for the ranks in which instances are apart."""
    ranks = max(1, *(len(node.extent) for node in plan.nodes))
    rank = np.zeros((len(plan.nodes), ranks), RANK)
    for name in ("extent", "size", "before_size", "stride"):
        rank[name] = 1
    for row, node in zip(rank, plan.nodes, strict=True):
        row["extent"][: len(node.extent)] = node.extent
        for r in range(ranks - 2, -1, -1):
            row["stride"][r] = row["stride"][r + 1] * row["extent"][r + 1]
    return rank


def _moving(plan: Plan, nodes: Records) -> IntArray:
    """`Machine.moving`. What keeps its words is left out, and multipliers that have none of a neighbour's."""
    first = len(plan.loops)
    moving = np.full((first + 1, len(plan.nodes)), -1, np.int64)
    linked = nodes["linked"]
    latched = any(linked[n] and not node.holds for n, node in enumerate(plan.nodes))
    for loop, row in enumerate(moving):
        k = 0
        for n, node in enumerate(plan.nodes):
            inside = loop == first or loop < node.loops
            moves = loop == first or linked[n] or node.refetch or (inside and any(node.step[loop]))
            if node.parent >= 0 and inside and moves and (node.holds or latched):
                row[k] = n
                k += 1
    return moving


def _places(node: Node, nodes: Records, rank: Records) -> Places:
    """Where one node's instances stand; the parent's records are complete."""
    fan = node.meshes[-1].size if node.meshes else 1
    at = node.placements
    above = np.zeros(node.instances, np.int64)
    if node.parent >= 0:
        above += nodes["base"][node.parent] + at.parent * nodes["words"][node.parent]
    ranks = at.offset.shape[1]
    offset = np.zeros((rank.shape[1], node.instances), np.int64)
    offset[:ranks] = at.offset.T
    return Places(
        above=above,
        leader=at.leader,
        straight=above + at.offset @ rank["stride"][node.parent, :ranks],
        outer_leads=at.leader // fan == np.arange(node.instances) // fan,
        offset=offset,
    )
