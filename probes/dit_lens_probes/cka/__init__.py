"""How alike representations are: between steps and layers, between runs, between branches."""

from dit_lens_probes.cka.params import CkaParams
from dit_lens_probes.cka.probe import Cka

__all__ = ["Cka", "CkaParams"]
