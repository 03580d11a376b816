"""For authors of plugins: a small made-up store, and checks that a probe, or an adapter, keeps its promises."""

from dit_lens.testing.adapter import AdapterCheck, AdapterReport, check_adapter, small_request
from dit_lens.testing.conformance import check_probe
from dit_lens.testing.errors import AdapterFailed
from dit_lens.testing.synthetic import SMALL, synthetic_store

__all__ = [
    "SMALL",
    "AdapterCheck",
    "AdapterFailed",
    "AdapterReport",
    "check_adapter",
    "check_probe",
    "small_request",
    "synthetic_store",
]
