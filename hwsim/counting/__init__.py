"""The counting kernels: closed-form access counts of one data space under one loop nest, and what accesses cost.

Everything here follows Timeloop's loop analysis (commit 4cf6d4c), whose rules `docs/counting.md` tells in words.
The formulas stand here and nowhere else: the evaluation of a mapping (`hwsim.model`) and the search over partial
mappings (`hwsim.mapper`) call the same functions. numba sees arrays only.

**The nest.** Loops outer → inner, ``dim[i]``, ``bound[i]`` (> 1), ``axis[i]`` (0 time, 1 X, 2 Y);
loops ``start[l] … start[l+1]`` belong to level ``l``, its temporal loops first, then the spatial
ones from ``spatial_start[l]``. ``start[levels]`` is the number of loops: below it stands the datapath.
"""

from hwsim.counting.fanout import distinct, distinct_boxes, linked, mesh_columns_rows, offsets
from hwsim.counting.fills import advance, new_rows, tile_fills
from hwsim.counting.geometry import nest_geometry, volume
from hwsim.counting.nest import (
    CAPACITY,
    COLUMNS,
    FILLS,
    LINKS,
    NO_LINKS,
    NO_MULTICAST,
    NO_REUSE,
    READ_FIRST,
    READS,
    REDUCTIONS,
    SWITCHES,
    TILE,
    UPDATES,
    count_data_space,
    nearest,
    revisits,
    share_of,
)
from hwsim.counting.price import access_energy, accesses, row_energy, speed, transfer_cycles
from hwsim.counting.remainder import Loops, count_with_remainders, instances_at_work, timeloop_counts

__all__ = [
    "CAPACITY",
    "COLUMNS",
    "FILLS",
    "LINKS",
    "NO_LINKS",
    "NO_MULTICAST",
    "NO_REUSE",
    "READS",
    "READ_FIRST",
    "REDUCTIONS",
    "SWITCHES",
    "TILE",
    "UPDATES",
    "Loops",
    "access_energy",
    "accesses",
    "advance",
    "count_data_space",
    "count_with_remainders",
    "distinct",
    "distinct_boxes",
    "instances_at_work",
    "linked",
    "mesh_columns_rows",
    "nearest",
    "nest_geometry",
    "new_rows",
    "offsets",
    "revisits",
    "row_energy",
    "share_of",
    "speed",
    "tile_fills",
    "timeloop_counts",
    "transfer_cycles",
    "volume",
]
