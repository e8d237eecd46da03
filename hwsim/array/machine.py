"""The machine as objects: storages, networks and multipliers that pass tagged words on, one step per `Machine.cycle`.

What `hwsim.array.engine` does in bulk can be watched here word by word: every word knows which element it is and where
it has been, every result how many products are in it. For small layers, traces and lessons; tests hold the two
together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.array import clock as clocks
from hwsim.array.arithmetic import EXACT, SATURATE, Arithmetic
from hwsim.array.build import build
from hwsim.array.control import FIRST, Handover, Links, Region, TileControl
from hwsim.array.plan import Node, Plan, Vector

Value = int | float


@dataclass(frozen=True)
class Word:
    """A word under way.

    Attributes:
        element: coordinates in its data space.
        products: how many products a result holds; 0 for operands.
        way: places it has been at, outermost first; of a sum the way of its latest part.
    """

    element: Vector
    value: Value
    way: tuple[str, ...] = ()
    products: int = 0

    def at(self, place: str) -> Word:
        """The word, arrived at a place."""
        return Word(self.element, self.value, (*self.way, place), self.products)


@dataclass(frozen=True)
class Event:
    """What happened at a place in a step.

    Attributes:
        action: ``read``, ``fill``, ``update``, ``link`` or ``mac``.
        place: storage instance or multiplier, as in `Storage.place`.
        words: how many.
        first: the first of the elements.
    """

    action: str
    place: str
    data_space: str
    words: int
    first: Vector


@dataclass
class Adder:
    """Adds as the hardware does: exact, wrapping or saturating."""

    how: Arithmetic

    def add(self, a: Value, b: Value) -> Value:
        """The sum."""
        total, (low, high) = a + b, self.how.limits
        if self.how.mode == EXACT or low <= total <= high:
            return total
        if self.how.mode == SATURATE:
            return low if total < low else high
        return low + (total - low) % (high - low + 1)


@dataclass
class Storage:
    """One data space in one instance of a level: the words of its present tile, and counters."""

    place: str
    data_space: str
    adder: Adder
    origin: Vector
    words: dict[Vector, Word] = field(default_factory=dict)
    reads: int = 0
    fills: int = 0
    updates: int = 0
    links: int = 0

    def read(self, element: Vector) -> Word:
        """Read a word; it stays."""
        self.reads += 1
        return self.words[element]

    def take(self, element: Vector) -> Word | None:
        """Read a partial sum out: it leaves; None where nothing has been added yet."""
        if element not in self.words:
            return None
        self.reads += 1
        return self.words.pop(element)

    def fill(self, word: Word) -> None:
        """Write a word that came from outside."""
        self.fills += 1
        self.words[word.element] = word.at(self.place)

    def update(self, sums: list[Word]) -> None:
        """Write a sum, reduced from several instances on the way; added to what is there, if anything is."""
        self.updates += 1
        element = sums[0].element
        if element in self.words:
            self.reads += 1
            sums = [self.words[element], *sums]
        self.words[element] = self.reduce(sums).at(self.place)

    def reduce(self, sums: list[Word]) -> Word:
        """The sum of several words of one element."""
        total = sums[0]
        value: Value = 0
        for word in sums:
            value = self.adder.add(value, word.value)
        return Word(total.element, value, sums[-1].way, sum(word.products for word in sums))

    def forget(self, tile: set[Vector]) -> None:
        """Drop what is not in the tile."""
        for element in [element for element in self.words if element not in tile]:
            del self.words[element]


@dataclass
class Multiplier:
    """A multiplier with a latch per operand and one for its sum."""

    place: str
    operands: list[Word] = field(default_factory=lambda: [Word((), 0), Word((), 0)])
    total: Word | None = None
    macs: int = 0

    def cycle(self, element: Vector, adder: Adder) -> None:
        """Multiply and add to the sum of one element of the result."""
        self.macs += 1
        product = self.operands[0].value * self.operands[1].value
        done = self.total.value if self.total else 0
        products = self.total.products if self.total else 0
        self.total = Word(element, adder.add(done, product), (self.place,), products + 1)


def _names(plan: Plan) -> list[list[str]]:
    """Names of the instances of every level and of the multipliers: ``PE[3]``."""
    names = [level.name for level in plan.architecture.levels] + [plan.architecture.compute.name]
    return [
        [name] if used == 1 else [f"{name}[{x}]" for x in range(used)]
        for name, used in zip(names, plan.used, strict=True)
    ]


def _box(low: Vector, size: Vector) -> Iterator[Vector]:
    return itertools.product(*(range(a, a + n) for a, n in zip(low, size, strict=True)))


def _plus(a: Vector, b: Vector) -> Vector:
    return tuple(x + y for x, y in zip(a, b, strict=True))


class Network:
    """Everything between the instances of a node and those of its parent: multicast, reduction, links to neighbours."""

    def __init__(self, plan: Plan, node: Node, children: list[Storage], parents: list[Storage]) -> None:
        self.node = node
        self.children = children
        self.parents = parents
        self.above: list[int] = node.placements.parent.tolist()
        self.fan = node.meshes[-1].size
        self.is_result = plan.problem.data_spaces[node.space].read_write
        on = node.meshes[-1].links and not (self.is_result and node.holds)
        self.links = Links(node.meshes[-1]) if on else None
        self.leader: list[int] = node.placements.leader.tolist()

    def parent(self, x: int) -> Storage:
        """The storage that instance x is filled from."""
        return self.parents[self.above[x]]

    def source(self, handover: Handover | None, x: int) -> int:
        """The neighbour that hands on to x, or -1."""
        y = handover.source[x % self.fan] if handover else -1
        return y if y < 0 else x - x % self.fan + y

    def fetches(self, handover: Handover | None, x: int) -> bool:
        """Whether x is the one of its group whose words the parent reads."""
        if handover is None:
            return self.leader[x] == x
        return handover.leads[x % self.fan] and self.leader[x] // self.fan == x // self.fan


class Machine:
    """A layer on its array.

    Args:
        operands: data space → tensor with an axis per rank.
        follow: keep what happens in each step in `events`.
    """

    def __init__(
        self, plan: Plan, operands: dict[str, npt.NDArray[Any]], how: Arithmetic, *, follow: bool = False
    ) -> None:
        self.plan = plan
        self.how = how
        self.adder = Adder(how)
        self.follow = follow
        self.events: list[Event] = []
        self.place_names = _names(plan)
        spaces = plan.problem.data_spaces
        self.storages: list[list[Storage]] = []
        for node in plan.nodes:
            self.storages.append(self._storages(node))
        self.control = [TileControl(node, node.step) for node in plan.nodes]
        self.region: list[Region | None] = [None] * len(plan.nodes)
        self.before: list[Region | None] = [None] * len(plan.nodes)
        self.visits = [0] * len(plan.nodes)
        self.networks: dict[int, Network] = {
            n: Network(plan, node, self.storages[n], self.storages[node.parent])
            for n, node in enumerate(plan.nodes)
            if node.parent >= 0
        }
        self.multipliers = [Multiplier(name) for name in self.place_names[-1]]
        self.result = next(k for k, space in enumerate(spaces) if space.read_write)
        self.operand_ends = [chain[-1] for k, chain in enumerate(plan.chains) if k != self.result]
        self.result_end = plan.chains[self.result][-1]
        # Where neighbouring multipliers hand on, sums wait in them for the next step.
        self.hands_on = any(self.networks[n].links for n in (*self.operand_ends, self.result_end))
        self.index = [0] * len(plan.loops)
        self.steps = 0
        for k, chain in enumerate(plan.chains):
            home = self.storages[chain[0]][0]
            for element in _box((0,) * len(plan.box[k]), plan.box[k]):
                if k != self.result:
                    home.words[element] = Word(element, operands[spaces[k].name][element].item(), (home.place,))
                elif plan.nodes[chain[0]].first_read:
                    home.words[element] = Word(element, 0, (home.place,))
        # The clock reads the engine's records; the machine fills them in.
        self.records = build(plan, {}, how.dtype)
        self.clock = clocks.clock_of(plan)

    def _storages(self, node: Node) -> list[Storage]:
        """The instances of a node, each with where its first tile lies."""
        space = self.plan.problem.data_spaces[node.space].name
        origins: list[Vector] = [(0,) * len(node.extent)]
        if node.parent >= 0:
            parents = self.storages[node.parent]
            placed = zip(node.placements.parent.tolist(), node.placements.offset.tolist(), strict=True)
            origins = [_plus(parents[above].origin, tuple(offset)) for above, offset in placed]
        names = self.place_names[node.level] if node.level >= 0 else ["outside"]
        return [Storage(name, space, self.adder, origin) for name, origin in zip(names, origins, strict=True)]

    # --- stepping -------------------------------------------------------------------

    def cycle(self) -> bool:
        """Make one step: move what has to move, multiply once in every multiplier. False after the last.

        The step may take several clock cycles, see `clock`.
        """
        self.events = []
        loop = self._next_loop()
        if loop is None:
            return False
        moving = [n for n, node in enumerate(self.plan.nodes) if node.parent >= 0 and loop < node.loops]
        for n in moving:
            self.before[n] = self.region[n] if loop != FIRST else None
            self.region[n] = self.control[n].advance(loop)
        self.records.moved[:] = 0
        if loop != FIRST:
            self._send_sums()
            for n in reversed(moving):
                if self._is_buffer_of_results(n) and self.region[n] is not None:
                    self._leave(n, loop)
        for n in moving:
            if self.plan.nodes[n].holds and self.region[n] is not None:
                if self._is_buffer_of_results(n):
                    self._take_results(n)
                else:
                    self._take_operands(n)
        self._multiply()
        if not self.hands_on:
            self._send_sums(last=True)
        self._tick(loop)
        return True

    def finish(self) -> None:
        """After the last step: every result goes home."""
        self.records.moved[:] = 0
        self.events = []
        self._send_sums(last=True)
        for n in reversed(range(len(self.plan.nodes))):
            if self._is_buffer_of_results(n) and self.plan.nodes[n].parent >= 0:
                self._leave(n, None)
        clocks.settle(self.records, self.clock)

    def run(self) -> None:
        """All steps to the end."""
        while self.cycle():
            pass
        self.finish()

    def _next_loop(self) -> int | None:
        if self.steps == 0:
            return FIRST
        for loop in reversed(range(len(self.index))):
            if self.index[loop] < self.plan.loops[loop].bound - 1:
                self.index[loop] += 1
                self.index[loop + 1 :] = [0] * (len(self.index) - loop - 1)
                return loop
        return None

    def _is_buffer_of_results(self, n: int) -> bool:
        return self.plan.nodes[n].space == self.result and self.plan.nodes[n].holds

    def _event(self, action: str, storage: Storage | Multiplier, space: str, words: int, first: Vector) -> None:
        if self.follow and words:
            self.events.append(Event(action, storage.place, space, words, first))

    def _moved(self, n: int, how: str, words: int) -> None:
        self.records.moved[how][n] += words

    def _elements(self, n: int, x: int, region: Region) -> list[Vector]:
        return list(_box(_plus(region.low, self.storages[n][x].origin), region.size))

    def _take_operands(self, n: int) -> None:
        network, region = self.networks[n], self.region[n]
        assert region is not None
        handover = network.links.handover(region, self.before[n]) if network.links else None
        arriving: list[list[Word]] = []
        for x in range(self.plan.nodes[n].instances):
            elements = self._elements(n, x, region)
            y, parent = network.source(handover, x), network.parent(x)
            if y >= 0:
                giver = network.children[y]
                giver.links += len(elements)
                arriving.append([giver.read(e) for e in elements])
                self._moved(n, "passed", len(elements))
                self._event("link", giver, giver.data_space, len(elements), elements[0])
            elif network.fetches(handover, x):
                arriving.append([parent.read(e) for e in elements])
                self._moved(n, "read", len(elements))
                self._event("read", parent, parent.data_space, len(elements), elements[0])
            else:  # listens to what its group's leader reads
                arriving.append([parent.words[e] for e in elements])
            self._moved(n, "taken", len(elements))
        whole = Region(self.control[n].origin, self.plan.nodes[n].extent)
        for x, words in enumerate(arriving):
            storage = self.storages[n][x]
            storage.forget(set(self._elements(n, x, whole)))
            for word in words:
                storage.fill(word)
            self._event("fill", storage, storage.data_space, len(words), words[0].element)

    def _take_results(self, n: int) -> None:
        network, region = self.networks[n], self.region[n]
        assert region is not None
        for x in range(self.plan.nodes[n].instances):
            storage, leader = self.storages[n][x], network.leader[x]
            elements = self._elements(n, x, region)
            self.visits[n] += len(elements)
            filled = 0
            for element in elements:
                if leader == x:
                    word = network.parent(x).take(element)
                    self._moved(n, "read", word is not None)
                else:  # the leader has the sum; the others of its group go on from zero
                    there = element in self.storages[n][leader].words
                    word = Word(element, 0, (network.parent(x).place,)) if there else None
                if word is None and self.plan.nodes[n].first_read:
                    word = Word(element, 0, ())
                if word is not None:
                    storage.fill(word)
                    filled += 1
            self._moved(n, "taken", filled)
            self._event("fill", storage, storage.data_space, filled, elements[0])

    def _leave(self, n: int, loop: int | None) -> None:
        """Send what leaves the tile when ``loop`` advances (None: everything, at the end) to the parents."""
        node, network = self.plan.nodes[n], self.networks[n]
        now = Region(self.control[n].origin, node.extent)
        old, stays = now, False
        if loop is not None:
            region = self.region[n]
            assert region is not None
            back = tuple(-s for s in node.step[loop])
            old = Region(_plus(now.low, back), node.extent)
            stays = region.size != node.extent
        leaving: dict[tuple[int, Vector], list[Word]] = {}
        for x in range(node.instances):
            kept = set(self._elements(n, x, now)) if stays else set()
            for element in self._elements(n, x, old):
                if element not in kept:
                    word = self.storages[n][x].words.pop(element, None) or Word(element, 0)
                    leaving.setdefault((network.leader[x], element), []).append(word)
        self._send_up(n, leaving)

    def _send_up(self, n: int, leaving: dict[tuple[int, Vector], list[Word]]) -> None:
        """Update the parents with sums by (leader of the group, element)."""
        network = self.networks[n]
        for (leader, element), words in sorted(leaving.items()):
            parent = network.parent(leader)
            reads = parent.reads
            parent.update(words)
            self._moved(n, "read", parent.reads - reads)
            self._moved(n, "passed", 1)
            self._event("update", parent, parent.data_space, 1, element)

    def _multiply(self) -> None:
        for k, n in enumerate(self.operand_ends):
            network, region = self.networks[n], self.region[n]
            assert region is not None
            handover = network.links.handover(region, self.before[n]) if network.links else None
            before = [m.operands[k] for m in self.multipliers]
            for x, multiplier in enumerate(self.multipliers):
                element = _plus(region.low, self.storages[n][x].origin)
                parent, y = network.parent(x), network.source(handover, x)
                if y >= 0:
                    word = before[y]
                elif network.fetches(handover, x):
                    word = parent.read(element)
                    self._moved(n, "read", 1)
                    self._event("read", parent, parent.data_space, 1, element)
                else:
                    word = parent.words[element]
                assert word.element == element
                multiplier.operands[k] = word.at(multiplier.place)
        region = self.region[self.result_end]
        assert region is not None
        for x, multiplier in enumerate(self.multipliers):
            element = _plus(region.low, self.storages[self.result_end][x].origin)
            multiplier.cycle(element, self.adder)
            self._event("mac", multiplier, self.storages[self.result_end][x].data_space, 1, element)

    def _send_sums(self, *, last: bool = False) -> None:
        """Sums in the multipliers go to a neighbour that goes on with them, or to the innermost buffer."""
        n = self.result_end
        network = self.networks[n]
        handover = None
        if network.links and not last:
            handover = network.links.handover(self.region[n], self.before[n])
        handed: dict[int, list[Word]] = {}
        given: set[int] = set()
        for x in range(len(self.multipliers)):
            y = network.source(handover, x)
            if y >= 0 and y not in given:
                given.add(y)
                total = self.multipliers[y].total
                assert total is not None
                handed.setdefault(x, []).append(total)
        leaving: dict[tuple[int, Vector], list[Word]] = {}
        for x, multiplier in enumerate(self.multipliers):
            if x not in given and multiplier.total is not None:
                leaving.setdefault((network.leader[x], multiplier.total.element), []).append(multiplier.total)
        self._send_up(n, leaving)
        for x, multiplier in enumerate(self.multipliers):
            words = handed.get(x)
            multiplier.total = self.storages[n][x].reduce(words) if words else None

    def _tick(self, loop: int) -> None:
        """Let the clock know what moved."""
        m = self.records
        for k, i in enumerate(self.index):
            m.loop["index"][k] = i
        for n, control in enumerate(self.control):
            m.tile["has_usual"][n] = control.stride is not None
            if control.stride is not None:
                m.rank["usual"][n, : len(control.stride)] = control.stride
        clocks.pace(m, self.clock, loop)
        self.steps += 1

    # --- results --------------------------------------------------------------------

    def counter(self) -> dict[int, tuple[int, int, int, int, int]]:
        """Node → reads, fills, updates, links, words of results asked for."""
        return {
            n: (
                sum(s.reads for s in storages),
                sum(s.fills for s in storages),
                sum(s.updates for s in storages),
                sum(s.links for s in storages),
                self.visits[n],
            )
            for n, storages in enumerate(self.storages)
        }

    def results(self) -> dict[Vector, Word]:
        """Element → word in the outermost storage of the result."""
        return self.storages[self.plan.chains[self.result][0]][0].words

    def output(self) -> npt.NDArray[Any]:
        """The result's whole tensor."""
        out = np.zeros(self.plan.box[self.result], self.how.dtype)
        for element, word in self.results().items():
            out[element] = word.value
        return out
