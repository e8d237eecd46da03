"""Sparsity: what zeros, formats, gating and skipping leave of dense traffic, and what that takes and costs.

It follows the statistical model of Timeloop (Sparseloop, commit 4cf6d4c); see `docs/sparsity.md`. It acts on the counts
of the dense nest and takes away from them; nothing in counting knows of it.
"""

from hwsim.sparse.price import compute_energy, data_space_energy, metadata_faults, moved, sparse_cost
from hwsim.sparse.thin import OPERANDS, thin

__all__ = ["OPERANDS", "compute_energy", "data_space_energy", "metadata_faults", "moved", "sparse_cost", "thin"]
