"""Which layer carries the answer: one run's block outputs in another run."""

from dit_lens_probes.swap.params import SwapParams
from dit_lens_probes.swap.probe import Swap

__all__ = ["Swap", "SwapParams"]
