"""The control of a tile as numba kernels: how it moves, and who hands on to whom (see `hwsim.array.control`)."""

from __future__ import annotations

from hwsim.array.layout import NOTHING, PATTERNS, SLAB, WHOLE, Machine
from hwsim.kernel import BoolArray, IntArray, Record, Records, kernel


@kernel(forceinline=True)
def motion(rank: Records, step: IntArray) -> tuple[int, bool, bool]:
    """The rank in which a step moves a tile (-1: none), whether there are several, and whether it moves as usual."""
    along = -1
    several = False
    usual = True
    for r in range(rank.shape[0]):
        if step[r] != 0:
            several = along >= 0
            along = r
        if step[r] != rank[r].usual:
            usual = False
    return along, several, usual


@kernel(forceinline=True)
def _turn(rank: Records, step: IntArray) -> None:
    """Move the tile, and its ring with it."""
    for r in range(rank.shape[0]):
        if step[r] != 0:
            rank[r].origin += step[r]
            extent = rank[r].extent
            if extent > 1:
                turned = rank[r].origin - rank[r].turn
                if turned < 0 or turned >= extent:
                    rank[r].turn += turned - turned % extent


@kernel(forceinline=True)
def _take_whole(rank: Records) -> None:
    for r in range(rank.shape[0]):
        rank[r].low = rank[r].origin
        rank[r].size = rank[r].extent


@kernel(forceinline=True)
def control(m: Machine, n: int, loop: int) -> None:
    """Move a tile and find the region that it takes."""
    tile, rank = m.tile[n], m.rank[n]
    if loop < 0:
        _take_whole(rank)
        tile.kind = WHOLE
        return
    step = m.step[n, loop]
    along, several, usual = motion(rank, step)
    _turn(rank, step)
    kind = WHOLE
    if not m.node[n].refetch:
        if along < 0:
            tile.kind = NOTHING
            return
        if tile.has_usual and not usual:
            tile.has_usual = False
        else:
            tile.has_usual = True
            for r in range(rank.shape[0]):
                rank[r].usual = step[r]
            if not several and abs(step[along]) < rank[along].extent:
                kind = SLAB
    _take_whole(rank)
    if kind == SLAB:
        distance = abs(step[along])
        if step[along] > 0:
            rank[along].low += rank[along].extent - distance
        rank[along].size = distance
    tile.kind = kind


@kernel(forceinline=True)
def remember(m: Machine, n: int, loop: int) -> None:
    """Keep what a tile with links took in the step before."""
    tile, rank = m.tile[n], m.rank[n]
    tile.before_kind = tile.kind if loop >= 0 else NOTHING
    for r in range(rank.shape[0]):
        rank[r].before_low = rank[r].low
        rank[r].before_size = rank[r].size


@kernel(forceinline=True)
def links(m: Machine, n: int) -> int:
    """Which remembered pattern of handovers serves this step; -1 where neighbours do not help."""
    if not m.node[n].linked:
        return -1
    found: int = _pattern(m.node[n], m.tile[n], m.rank[n], m.place.offset, m.shift[n], m.helps[n], m.link[n])
    return found


@kernel()
def _pattern(
    node: Record,
    tile: Record,
    rank: Records,
    offset: IntArray,
    shift: IntArray,
    helps: BoolArray,
    link: Records,
) -> int:
    """`links` of one node."""
    if NOTHING in (tile.kind, tile.before_kind):
        return -1
    ranks = rank.shape[0]
    for r in range(ranks):
        if rank[r].size != rank[r].before_size:
            return -1
    for k in range(min(tile.known, PATTERNS)):
        hit = True
        for r in range(ranks):
            if shift[k, r] != rank[r].low - rank[r].before_low:
                hit = False
                break
        if hit:
            return k if helps[k] else -1
    new: int = tile.known % PATTERNS
    tile.known += 1
    for r in range(ranks):
        shift[new, r] = rank[r].low - rank[r].before_low
    helps[new] = _find_links(node, offset[:, node.first :], shift[new], link[new])
    return new if helps[new] else -1


@kernel(forceinline=True)
def _apart(offset: IntArray, x: int, y: int, shift: IntArray) -> bool:
    """Whether place y's tile lies ``shift`` from place x's."""
    for r in range(shift.shape[0]):
        if offset[r, y] - offset[r, x] != shift[r]:
            return False
    return True


@kernel(forceinline=True)
def _together(offset: IntArray, x: int, y: int) -> bool:
    """Whether two places want the same tile."""
    for r in range(offset.shape[0]):
        if offset[r, y] != offset[r, x]:
            return False
    return True


@kernel()
def _giver(node: Record, offset: IntArray, x: int, shift: IntArray) -> int:
    """The neighbour of place x that has what x wants after a move by ``shift``; -1: none."""
    columns, rows = node.columns, node.rows
    column, row = x % columns, x // columns
    if row >= rows:
        return -1
    for side in range(4):
        c = column + (1 if side == 0 else -1 if side == 1 else 0)
        w = row + (1 if side == 2 else -1 if side == 3 else 0)
        y: int = w * columns + c
        on_mesh = 0 <= c < columns and 0 <= w < rows and y < node.fan
        if on_mesh and _apart(offset, x, y, shift):
            return y
    return -1


@kernel()
def _find_links(node: Record, offset: IntArray, shift: IntArray, link: Records) -> bool:
    """Find the handovers of one move on the first mesh, which stands for all; whether they save an access."""
    fan = node.fan
    for x in range(fan):
        link[x].source = _giver(node, offset, x, shift)
        link[x].to = -1
    for x in range(fan):  # a sum goes to the first neighbour that wants it
        y = link[x].source
        if y >= 0 and link[y].to < 0:
            link[y].to = x
    usual = left = 0
    for x in range(fan):
        alone = True
        link[x].leads = link[x].source < 0
        link[x].sends = link[x].to < 0
        if node.multicast:
            for y in range(x):
                if _together(offset, x, y):
                    alone = False
                    link[x].leads &= link[y].source >= 0
                    link[x].sends &= link[y].to >= 0
        usual += alone
        left += link[x].leads
    return left < usual
