"""What the mean of several seeds' activations is worth, against what costs as much."""

from dit_lens_probes.ensemble.params import EnsembleParams
from dit_lens_probes.ensemble.probe import Ensemble

__all__ = ["Ensemble", "EnsembleParams"]
