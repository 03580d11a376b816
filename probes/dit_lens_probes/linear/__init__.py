"""What can be read where: linear probes for every step and layer, with videos never on both sides."""

from dit_lens_probes.linear.probe import Linear, LinearParams

__all__ = ["Linear", "LinearParams"]
