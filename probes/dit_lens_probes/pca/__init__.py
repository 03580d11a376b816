"""Principal components that traces share, and maps of tokens coloured by them."""

from dit_lens_probes.pca.probe import Pca, PcaParams

__all__ = ["Pca", "PcaParams"]
