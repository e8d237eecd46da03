"""Makes docs/course_lab.ipynb: the course lab from a trained network to profile, score and what-if, executed.

python benchmarks/course_lab.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "course_lab.ipynb"
START_SECONDS = 600  # a kernel may start slowly on a busy machine

CELLS: list[tuple[str, str]] = [
    (
        "markdown",
        """# The course lab, from training to what-if

Lab 1-4 of MIT's *Hardware Architecture for Deep Learning* (6.5930/6.812) asks for one network: it classifies CIFAR-10,
and its energy and latency on a small weight-stationary accelerator count as much as its errors. The rules: plain SGD,
fewer than 30 epochs, no augmentation, nothing pretrained; input and output of any layer below 1 MB together; an error
below 50%. Points: up to 60 for the error, 20 for the energy, 20 for the latency.

This notebook is made by `make notebook`; it starts from the trained network that comes with hwsim.""",
    ),
    (
        "markdown",
        """## Training

`hwsim train mit-lab1 --data-dir DATA --seed 0` trained it. The log that lies beside the network says how.""",
    ),
    (
        "code",
        """import json
from pathlib import Path

log = json.loads(Path("workloads/trained/mit_lab1.json").read_text())
print(log["command"])
print("network:      ", ", ".join(log["network"]))
print("rules:        ", "; ".join(log["rules"]))
settings = log["training"]
print("training:     ", {k: settings[k] for k in ("epochs", "batch", "learning_rate", "momentum", "weight_decay")})
print("test accuracy:", log["test_accuracy"])""",
    ),
    (
        "code",
        """import pandas as pd

curve = pd.DataFrame(log["epochs"]).set_index("epoch")
curve[["train_accuracy", "validation_accuracy"]].plot(ylabel="accuracy", figsize=(6, 2.6), grid=True);""",
    ),
    (
        "markdown",
        """## Energy and latency

Every layer runs under the mapping with the least energy × delay that there is; the search proves that none is better.
`simple_ws_lab` is the lab's accelerator with the lab's prices.""",
    ),
    (
        "code",
        """import hwsim

MODEL = "workloads/trained/mit_lab1.onnx"
cost = hwsim.profile(MODEL, arch="simple_ws_lab")
cost""",
    ),
    ("markdown", "The same as a DataFrame, and where the energy goes:"),
    (
        "code",
        """layers = cost.to_dataframe().set_index("layer")
parts = [name for name in layers if name.endswith("_pj") and name != "energy_pj"]
layers[parts].mul(layers["count"], axis=0).div(1e6).round(3).rename(columns=lambda n: n.removesuffix("_pj") + " (µJ)")""",
    ),
    (
        "code",
        """microjoules = layers[parts].mul(layers["count"], axis=0).div(1e6)
microjoules.columns = [name.removesuffix("_pj") for name in parts]
microjoules[::-1].plot.barh(stacked=True, figsize=(7, 2.8), xlabel="energy (µJ)", ylabel="", width=0.75);""",
    ),
    (
        "markdown",
        """One layer in depth: what each level reads and writes of each tensor, per instance, and what that costs. The fourth
layer's weights cross DRAM exactly once; its inputs are fetched once into the buffer and read from there many times.""",
    ),
    ("code", "cost.layers[3]"),
    ("markdown", "## Score\n\nThe accuracy stands in the file's metadata, where the training put it."),
    ("code", """hwsim.score(MODEL, "mit-lab1")"""),
    (
        "markdown",
        """All points. Had the network reached 75% only, the score would say what the next band needs:""",
    ),
    ("code", """hwsim.score(MODEL, "mit-lab1", accuracy=0.75)"""),
    (
        "markdown",
        """## What if the hardware were another?

Three changes, each mapped anew: a buffer of a quarter of the size, an array of four times the units, and one of a
quarter of them. All designs here are priced by hwsim's own estimators, the unchanged one, too, so that like is compared
with like; the lab's own table above prices a multiply-accumulate higher.""",
    ),
    (
        "code",
        """changes = ["shared_glb.depth=4096", "PE.meshX=32,PE.meshY=32", "PE.meshX=8,PE.meshY=8"]
study = hwsim.study(MODEL, "simple_ws_lab", changes)
study""",
    ),
    (
        "code",
        """def microjoules_by_component(variant):
    total = {}
    for layer in variant.cost.layers:
        for name, pj in layer.cost.energy_by_level_pj.items():
            total[name] = total.get(name, 0) + layer.count * pj / 1e6
    return pd.Series(total, name=variant.name)

pd.DataFrame([microjoules_by_component(v) for v in study]).round(3)""",
    ),
    (
        "markdown",
        """**The smaller buffer** saves energy and area and costs no cycle: every access to it is cheaper, and nothing in this
network needs the room; the traffic to DRAM is the same to the word.

**The larger array** is faster, but not four times: its utilization falls. It also takes more energy from DRAM. The
access counts of the fourth layer say why:""",
    ),
    (
        "code",
        """words = {v.name: v.cost.layers[3].cost.to_dataframe().set_index(["level", "data_space"]) for v in study[::2]}
pd.concat({name: table[["instances", "reads", "fills", "updates"]] for name, table in words.items()}, axis=1).loc[
    ["DRAM", "shared_glb"]
].astype("Int64")""",
    ),
    (
        "markdown",
        """The buffer gives 16 words per cycle, which is what 16 columns ask for; 32 columns ask for 32. So the best mapping
lets the inputs pass the buffer by and reads them from DRAM, whose bandwidth this architecture does not limit, again and
again: several times the words, each at a far higher price. Whoever builds the larger array has to widen the buffer, too.""",
    ),
    (
        "code",
        """wider = "PE.meshX=32,PE.meshY=32,shared_glb.read_bandwidth=32,shared_glb.write_bandwidth=32"
hwsim.study(MODEL, "simple_ws_lab", ["PE.meshX=32,PE.meshY=32", wider])""",
    ),
    (
        "markdown",
        """The same as pages to look at: `hwsim profile MODEL --arch simple_ws_lab --html page.html`, and so for `hwsim whatif`
and `hwsim score`.""",
    ),
]


def main() -> None:
    """Build the notebook, run it in the repository's folder, write it."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.v4.new_notebook()
    for number, (kind, source) in enumerate(CELLS):
        new = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        book.cells.append(new(source, id=f"cell-{number}"))
    client = NotebookClient(
        book,
        timeout=600,
        startup_timeout=START_SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
    )
    client.execute()
    # what differs from machine to machine and says nothing about the lab
    book.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    nbformat.write(book, target)


if __name__ == "__main__":
    main()
