"""Causal probes at work: what they are given, what they keep, and how sure their answer is."""

from dit_lens.causal.calls import Calls
from dit_lens.causal.context import Context
from dit_lens.causal.run import Intervention, intervene, prepare_intervention
from dit_lens.causal.units import Unit

__all__ = ["Calls", "Context", "Intervention", "Unit", "intervene", "prepare_intervention"]
