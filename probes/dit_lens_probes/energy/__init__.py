"""Where a model puts its energy: the L2 norm of every token, layer by layer and step by step."""

from dit_lens_probes.energy.maps import robust_map
from dit_lens_probes.energy.probe import Energy, EnergyParams

__all__ = ["Energy", "EnergyParams", "robust_map"]
