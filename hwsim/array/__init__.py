"""The array simulator: runs a layer under a mapping, word by word, and counts what happens.

An independent witness of the cost model: it shares the types (`Problem`, `Architecture`, `Mapping`) and none of the
formulas. `docs/simulator.md` tells how it works.
"""
