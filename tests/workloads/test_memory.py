"""Peak activation, peak live bytes and the best order, derived by hand and by trying every order."""

import random
from collections.abc import Iterator, Sequence

import pytest

from hwsim.workloads import memory
from hwsim.workloads.memory import (
    live_tensors,
    memory_schedule,
    peak_activation_bytes,
    peak_live_bytes,
    peak_live_bytes_best_order,
)
from hwsim.workloads.problem import matmul
from hwsim.workloads.workload import Operator, Tensor, Workload

ONE = ((matmul({"M": 2}), 1),)
Step = tuple[str, str, str]


def network(sizes: dict[str, int], steps: Sequence[Step], outputs: str, inputs: str = "x", held: str = "") -> Workload:
    """Operators (name, reads, writes) on tensors of so many bytes; capitals are mapped, ``held`` tensors constant."""
    return Workload(
        name="by hand",
        operators=tuple(
            Operator(name, "op", tuple(reads.split()), tuple(writes.split()), ONE if name.isupper() else ())
            for name, reads, writes in steps
        ),
        tensors={name: Tensor(name, (size,), 8, name in held.split()) for name, size in sizes.items()},
        graph_inputs=tuple(inputs.split()),
        graph_outputs=tuple(outputs.split()),
        params=0,
        weight_bytes=0,
    )


def figures(workload: Workload) -> tuple[int, int, int | None]:
    return peak_activation_bytes(workload), peak_live_bytes(workload), peak_live_bytes_best_order(workload)


def test_chain() -> None:
    # A holds 10 + 20 (the weights, 1000, are no activation), r 20 + 20, C 20 + 5; r is not mapped.
    chain = network(
        {"x": 10, "w": 1000, "h": 20, "g": 20, "y": 5},
        [("A", "x w", "h"), ("r", "h", "g"), ("C", "g", "y")],
        "y",
        held="w",
    )
    assert figures(chain) == (30, 40, 40)
    assert [m.live_bytes for m in memory_schedule(chain)] == [30, 40, 25]
    assert [(m.operator, m.op, m.mapped) for m in memory_schedule(chain)] == [
        ("A", "op", True),
        ("r", "op", False),
        ("C", "op", True),
    ]


def test_a_residual_waits() -> None:
    # h waits while B runs: 20 + 5; c reads both and writes 20: 45, but is not mapped.
    skip = network({"x": 10, "h": 20, "r": 5, "y": 20}, [("A", "x", "h"), ("B", "h", "r"), ("c", "h r", "y")], "y")
    assert figures(skip) == (30, 45, 45)
    assert live_tensors(skip, "c") == (("h", 20), ("y", 20), ("r", 5))
    ties = network({"x": 9, "b": 7, "a": 7, "c": 8}, [("s", "x", "b a c")], "a b c")
    assert live_tensors(ties, "s") == (("x", 9), ("c", 8), ("a", 7), ("b", 7))
    assert live_tensors(skip, "B") == (("h", 20), ("r", 5))
    assert live_tensors(skip, "A") == (("h", 20), ("x", 10))
    with pytest.raises(KeyError):
        live_tensors(skip, "d")


def test_a_better_order() -> None:
    # In the file's order both large ones wait for each other: 1 + 100 + 100 while q runs, 100 + 100 + 1 while r does.
    # One branch to its end first: 1 + 100 + 1 at r, then 1 + 1 + 100 at q, 100 + 1 + 1 at s.
    forks = network(
        {"x": 1, "a": 100, "b": 100, "c": 1, "d": 1, "y": 1},
        [("p", "x", "a"), ("q", "x", "b"), ("r", "a", "c"), ("s", "b", "d"), ("t", "c d", "y")],
        "y",
    )
    assert figures(forks) == (0, 201, 102)


def test_outputs_stay_and_inputs_wait() -> None:
    # a: 10 + 30; b: 10 + 30 + 40; c: 30 + 40 + 5. With b and c first: 10 + 40 + 5 at c, 10 + 5 + 30 at a.
    kept = network({"x": 10, "y": 30, "h": 40, "z": 5}, [("A", "x", "y"), ("B", "x", "h"), ("C", "h", "z")], "y z")
    assert figures(kept) == (50, 80, 55)


def test_what_nobody_reads() -> None:
    # The mask (50) lives while a runs; the input u (1000) never does; an input that is an output lives to the end.
    masks = network({"x": 10, "u": 1000, "y": 10, "m": 50, "z": 20}, [("A", "x", "y m"), ("b", "y", "z")], "z", "x u")
    assert figures(masks) == (70, 70, 70)
    through = network({"x": 10, "y": 10, "z": 20}, [("a", "x", "y"), ("b", "y", "z")], "z x")
    assert figures(through) == (0, 40, 40)
    assert live_tensors(through, "b") == (("z", 20), ("x", 10), ("y", 10))
    assert peak_live_bytes(network({"x": 90, "h": 1, "y": 1}, [("a", "h", "y")], "y x", "x h")) == 92


def test_inputs_wait_for_their_reader() -> None:
    # v is there from the start, though only b reads it: 10 + 70 + 20 at a.
    late = network({"x": 10, "v": 70, "h": 20, "y": 5}, [("a", "x", "h"), ("b", "h v", "y")], "y", "x v")
    assert figures(late) == (0, 100, 100)


def test_what_is_read_and_made_by_none_is_there_from_the_start() -> None:
    given = network({"x": 10, "v": 70, "h": 20, "y": 5}, [("a", "x", "h"), ("b", "h v", "y")], "y", "x")
    assert figures(given) == (0, 100, 100)
    assert live_tensors(given, "a") == (("v", 70), ("h", 20), ("x", 10))


def test_read_twice_is_one_tensor() -> None:
    square = network({"x": 10, "h": 20, "y": 20}, [("A", "x", "h"), ("B", "h h", "y")], "y")
    assert figures(square) == (40, 40, 40)


def test_constant_results_do_not_run() -> None:
    folded = network({"x": 10, "k": 500, "c": 500, "y": 10}, [("A", "k", "c"), ("B", "x c", "y")], "y", held="k c")
    assert figures(folded) == (20, 20, 20)
    assert [m.operator for m in memory_schedule(folded)] == ["B"]


def test_nothing_runs() -> None:
    assert figures(network({"x": 10}, [], "x")) == (0, 10, 10)
    assert figures(network({"x": 10}, [], "")) == (0, 0, 0)


def test_bytes_are_rounded_up() -> None:
    assert (Tensor("t", (3,), 4).bytes, Tensor("t", (3, 3), 1).bytes, Tensor("t", (), 32).bytes) == (2, 2, 4)


def test_the_search_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"x": 1, **{f"{k}{i}": 90 + i for i in range(6) for k in "ab"}, "y": 1}
    steps = [(f"p{i}", "x", f"a{i}") for i in range(6)] + [(f"q{i}", f"a{i}", f"b{i}") for i in range(6)]
    steps.append(("t", " ".join(f"b{i}" for i in range(6)), "y"))
    assert peak_live_bytes_best_order(network(sizes, steps, "y")) is not None
    for limit in ("MAX_STATES", "MAX_WORK"):
        with monkeypatch.context() as patch:
            patch.setattr(memory, limit, 12)
            assert peak_live_bytes_best_order(network(sizes, steps, "y")) is None


def orders(steps: list[Step], there: set[str]) -> Iterator[list[Step]]:
    if not steps:
        yield []
    for step in steps:
        if set(step[1].split()) <= there:
            rest = [s for s in steps if s is not step]
            for tail in orders(rest, there | set(step[2].split())):
                yield [step, *tail]


def peak(sizes: dict[str, int], steps: list[Step], outputs: str) -> int:
    """By lifetimes: from where a tensor is written (inputs: the start) to its last reader (outputs: the end)."""
    born, last = {"x": -1}, dict.fromkeys(outputs.split(), len(steps))
    for at, (_, reads, writes) in enumerate(steps):
        for name in reads.split():
            last[name] = max(last.get(name, at), at)
        for name in writes.split():
            born[name] = at
            last.setdefault(name, at)
    return max(
        sum(sizes[n] for n in born if n in last and born[n] <= at <= last[n]) for at in range(-1, len(steps) + 1)
    )


@pytest.mark.parametrize("seed", range(120))
def test_every_order(seed: int) -> None:
    draw = random.Random(seed)
    sizes, steps = {"x": draw.randint(1, 20)}, []
    for index in range(draw.randint(2, 6)):
        reads = draw.sample(sorted(sizes), min(len(sizes), draw.choice([1, 1, 2])))
        writes = [f"t{index}", *[f"u{index}"][: draw.choice([0, 0, 1])]]
        sizes |= {name: draw.randint(1, 20) for name in writes}
        steps.append((f"s{index}", " ".join(reads), " ".join(writes)))
    outputs = " ".join(draw.sample(sorted(sizes), draw.choice([1, 2])))
    workload = network(sizes, steps, outputs)
    assert peak_live_bytes(workload) == peak(sizes, steps, outputs)
    assert peak_live_bytes_best_order(workload) == min(peak(sizes, order, outputs) for order in orders(steps, {"x"}))


@pytest.mark.parametrize("residual", [False, True])
def test_long_networks_take_no_search(residual: bool) -> None:
    """30,000 operators in a second or so: 8 + 8 bytes at each, 8 more where a residual waits."""
    sizes, steps = {"x": 8}, []
    for index in range(30_000):
        before = f"t{index - 1}" if index else "x"
        waiting = f" t{index - 2}" if residual and index % 2 and index > 1 else ""
        sizes[f"t{index}"] = 8
        steps.append((f"s{index}", before + waiting, f"t{index}"))
    workload = network(sizes, steps, "t29999")
    assert figures(workload)[1:] == ((24, 24) if residual else (16, 16))
    assert len(workload.layers()) == 0
