"""Probes: plugins that turn traces into an answer. What one is, how they are found, run, and their results kept."""

from dit_lens.probing.errors import (
    BadParams,
    BrokenProbe,
    MissingCapture,
    NonConformingProbe,
    NotAResult,
    NothingToAnalyze,
    ProbeError,
    ProbeFailed,
    ResultExists,
    UnknownProbe,
)
from dit_lens.probing.params import build_probe
from dit_lens.probing.protocol import (
    API_VERSION,
    AnyProbe,
    CausalProbe,
    Labels,
    Probe,
    State,
    is_causal,
    reasons_against,
)
from dit_lens.probing.registry import ProbeRow, get_probe, list_probes, package_of
from dit_lens.probing.results import check_free, is_result, load_result, save_result
from dit_lens.probing.run import Analysis, analyze, captures_for, draw_result, make_probe, prepare

__all__ = [
    "API_VERSION",
    "Analysis",
    "AnyProbe",
    "BadParams",
    "BrokenProbe",
    "CausalProbe",
    "Labels",
    "MissingCapture",
    "NonConformingProbe",
    "NotAResult",
    "NothingToAnalyze",
    "Probe",
    "ProbeError",
    "ProbeFailed",
    "ProbeRow",
    "ResultExists",
    "State",
    "UnknownProbe",
    "analyze",
    "build_probe",
    "captures_for",
    "check_free",
    "draw_result",
    "get_probe",
    "is_causal",
    "is_result",
    "list_probes",
    "load_result",
    "make_probe",
    "package_of",
    "prepare",
    "reasons_against",
    "save_result",
]
