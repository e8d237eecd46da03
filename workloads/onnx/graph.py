"""What the reader needs to know of ONNX's own structures: names, order, references."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import networkx as nx
import numpy as np
import onnx

from hwsim.errors import HwsimError

#: Key of the file's metadata that proposes sizes for symbolic dimensions: ``seq=128 past=512``.
DEFAULT_DIMS_KEY = "hwsim.default_dims"


#: Channels of a block of ONNX Runtime's, by processor.
_BLOCKS = (16, 8)

#: Longer names lose their middle: nested functions would make them grow without end.
MAX_NAME = 500


class Names:
    """Hands out unique names: the second ``x`` becomes ``x#2``."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """The name itself, or with the first number that makes it unique."""
        if len(name) > MAX_NAME:
            name = f"{name[: MAX_NAME // 2]}…{name[1 - MAX_NAME // 2 :]}"
        number = self._last.get(name, 0) + 1
        while number > 1 and f"{name}#{number}" in self._last:
            number += 1
        self._last[name] = number
        chosen = name if number == 1 else f"{name}#{number}"
        self._last.setdefault(chosen, 1)
        return chosen


def ordered(nodes: Sequence[onnx.NodeProto], taken: Collection[str], where: str) -> list[onnx.NodeProto]:
    """Nodes so that each comes after what it reads; as in the file where that is so already.

    Args:
        nodes: of one graph.
        taken: names of the graph's inputs and initializers, which no node may produce.
        where: the file, for messages.

    Raises:
        HwsimError: a value is produced twice, or the graph is cyclic.
    """
    producer: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in producer or name in taken:
                raise HwsimError(f"value '{name}' is defined more than once", where=where)
            producer[name] = index
    reads = [{producer[n] for n in free_names(node) if n in producer} for node in nodes]
    if all(source < index for index, sources in enumerate(reads) for source in sources):
        return list(nodes)

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(nodes)))
    graph.add_edges_from((source, index) for index, sources in enumerate(reads) for source in sources)
    try:
        return [nodes[index] for index in nx.lexicographical_topological_sort(graph)]
    except nx.NetworkXUnfeasible:
        cycle = [nodes[source].name or nodes[source].op_type for source, _ in nx.find_cycle(graph)]
        shown = [*cycle[:8], "…"] if len(cycle) > 8 else cycle
        raise HwsimError(f"the graph is cyclic: {' → '.join([*shown, cycle[0]])}", where=where) from None


def function_key(proto: onnx.FunctionProto | onnx.NodeProto, name: str) -> tuple[str, str, str]:
    """What identifies a function: domain, name, overload."""
    return domain(proto.domain), name, getattr(proto, "overload", "")


def type_name(node: onnx.NodeProto) -> str:
    """Operator type, led by its domain where that is not ONNX's own."""
    own = domain(node.domain)
    return f"{own}.{node.op_type}" if own else node.op_type


def domain(name: str) -> str:
    """A domain's name, ONNX's own always as ``""``."""
    return "" if name == "ai.onnx" else name


def opsets(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """Domain → opset version."""
    return {domain(o.domain): o.version for o in imports}


def with_channels(nodes: Sequence[onnx.NodeProto], tensors: Mapping[str, onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Nodes of ONNX Runtime's blocked layout with how many channels of a convolution's result are no padding.

    What leaves the layout says so; it holds for what was computed elementwise or in windows from a convolution. Of
    others the filters tell: those of padding are 0, and less than a block.

    Args:
        nodes: of one graph, in topological order.
        tensors: its initializers.
    """
    blocked, real = "com.microsoft.nchwc", dict[str, int]()
    if not any(node.domain == blocked for node in nodes):
        return list(nodes)
    out = []
    for given in reversed(nodes):
        node, attributes = given, {a.name: a.i for a in given.attribute}
        channels = next((real[name] for name in given.output if name in real), 0)
        if given.domain == blocked and given.op_type == "ReorderOutput":
            real.update(dict.fromkeys(given.input[:1], attributes.get("channels", 0)))
        elif given.domain == blocked and given.op_type == "Conv":
            channels = channels or (_filters(tensors.get(given.input[1])) if len(given.input) > 1 else 0)
            if channels:
                node = onnx.NodeProto()
                node.CopyFrom(given)
                node.attribute.append(onnx.helper.make_attribute("channels", channels))
                depthwise = attributes.get("group", 1) >= channels > 1
                real.update(dict.fromkeys([*given.input[3:], *given.input[: int(depthwise)]], channels))  # 3: added
        elif channels and given.op_type not in ("Concat", "ReorderInput"):
            real.update(dict.fromkeys(given.input, channels))
        out.append(node)
    return out[::-1]


def _filters(tensor: onnx.TensorProto | None) -> int:
    """Filters that are no padding, of a tensor laid out in blocks; 0 where the file does not tell.

    In memory the filters of one block lie side by side, innermost. Those of padding are 0, the last ones of the last
    block; looked at in blocks of another size, the zeros would not be the last.
    """
    if tensor is None or tensor.data_location == tensor.EXTERNAL or len(tensor.dims) < 3:
        return 0
    try:
        data = onnx.numpy_helper.to_array(tensor).reshape(-1)
    except (ValueError, TypeError, KeyError):
        return 0
    made = tensor.dims[0]
    for block in _BLOCKS:
        if made % block == 0 and data.size:
            used = np.flatnonzero(data.reshape(made // block, -1, block).any(axis=1))
            if used.size and used[-1] + 1 == used.size > made - block:
                return int(used.size)
    return 0


def free_names(node: onnx.NodeProto) -> set[str]:
    """Names that a node reads, those inside its bodies included."""
    names = set(filter(None, node.input))
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.type in (attribute.GRAPH, attribute.GRAPHS) else ():
            inside = {i.name for i in graph.input} | {t.name for t in graph.initializer}
            inside |= {o for n in graph.node for o in n.output}
            names |= {name for n in graph.node for name in free_names(n)} - inside
            names |= {o.name for o in graph.output} - inside
    return names


def plain(node: onnx.NodeProto, attributes: Mapping[str, onnx.AttributeProto]) -> onnx.NodeProto:
    """The node with ONNX's domain spelt one way and references to a function's attributes resolved."""
    references = any(a.ref_attr_name for a in node.attribute)
    if node.domain != "ai.onnx" and not references:
        return node

    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    plain.domain = domain(node.domain)
    del plain.attribute[:]
    for attribute in node.attribute:
        source = attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is not None:  # a reference to an attribute that the call leaves out leaves it out here
            plain.attribute.add().CopyFrom(source)
            plain.attribute[-1].name = attribute.name
    return plain


def without_inputs(node: onnx.NodeProto, missing: set[str]) -> onnx.NodeProto:
    """The node with inputs left empty that the function's caller did not give."""
    if not missing.intersection(node.input):
        return node

    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    plain.input[:] = ["" if name in missing else name for name in node.input]
    return plain


def symbolic_names(model: onnx.ModelProto) -> set[str]:
    """Names of the symbolic dimensions of the main graph's values."""
    infos = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    return {d.dim_param for i in infos for d in i.type.tensor_type.shape.dim if d.dim_param}


def proposed_dims(model: onnx.ModelProto, where: str) -> dict[str, int]:
    """Sizes that the file's metadata proposes for its symbolic dimensions."""
    text = next((p.value for p in model.metadata_props if p.key == DEFAULT_DIMS_KEY), "")
    proposed = {}
    for item in text.split():
        name, _, size = item.rpartition("=")
        if not name or not size.isdecimal() or not 1 <= int(size[:12]) <= 2**31:
            raise HwsimError(f"metadata '{DEFAULT_DIMS_KEY}' has '{item}', expected NAME=SIZE", where=where)
        proposed[name] = int(size)
    return proposed
