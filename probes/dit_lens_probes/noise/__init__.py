"""What noise in one step, or in one frame, does to a run and to its answer."""

from dit_lens_probes.noise.params import NoiseParams
from dit_lens_probes.noise.probe import NoiseProbe

__all__ = ["NoiseParams", "NoiseProbe"]
