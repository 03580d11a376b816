"""For authors of plugins: a small made-up store, and a check that a probe keeps its promises."""

from dit_lens.testing.conformance import check_probe
from dit_lens.testing.synthetic import SMALL, synthetic_store

__all__ = ["SMALL", "check_probe", "synthetic_store"]
