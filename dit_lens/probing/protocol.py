"""What a probe is: a plain class that keeps the promises below. Nothing has to be inherited.

A probe declares which captures a trace must hold. Its traces then pass by in chunks: ``map`` turns one chunk into a
state, ``combine`` merges states, ``finish`` turns the last one into a dataset, ``draw`` turns the dataset into figures.
Because ``combine`` may be given any split of the states in any order, a loop, a pool of processes and a cluster compute
the same result. ``map`` and ``combine`` may run in several threads at a time, so they keep nothing on the probe. How a
trace is cut is the probe's choice: ``access`` says whether ``map`` wants one frame of one step, one step, or the whole
trace at a time; the memory that an analysis needs follows from it.

A probe may have more members, looked up by name: ``needs_video``, true if chunks shall carry the decoded video of
their trace as the variable ``video``; and ``check(traces)``, called before anything is read with the labels that each
trace holds (``{trace_id: {dimension: labels}}``), which raises ``BadParams`` if a parameter names one that is absent.
``draws_by`` names the parameters that ``draw`` reads, which ``dit-lens figure --set`` may change; ``films(result)``
returns moving pictures, an array of uint8 (films, frames, height, width, 3), or None. In ``draw``,
``dit_lens.figures.note_data`` says what a figure shows, which is then saved beside it.

A *causal* probe does not read traces, it changes runs: it has ``run(context)`` in place of ``captures``, ``map``,
``combine`` and ``finish``, and no ``access``. Everything else is the same: where it is announced, its parameters, its
result and its figures. Its ``check``, if it has one, is given the context.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from dit_lens.captures import Capture
    from dit_lens.causal.context import Context

__all__ = [
    "API_VERSION",
    "Access",
    "AnyProbe",
    "CausalProbe",
    "Labels",
    "Probe",
    "State",
    "is_causal",
    "reasons_against",
]

API_VERSION = 1
"""The version of this protocol. A probe written for another one is reported as broken, not run."""

State = Any
"""Whatever a probe carries from ``map`` to ``finish``; it must survive a trip to another process.

That ``--shard`` can leave it in a file, it is made of numbers, text, None, tuples, lists, sets, dicts, numpy arrays,
xarray datasets and arrays, and of dataclasses or named tuples of the probe's own package.
"""
Access = Literal["frame", "step", "trace"]
Labels = Mapping[str, tuple[int | str, ...]]

_ACCESS: tuple[Access, ...] = ("frame", "step", "trace")
_TEXT = ("name", "version", "summary")
_METHODS = {"captures": 0, "map": 1, "combine": 1, "finish": 1, "draw": 1}
_CAUSAL_METHODS = {"run": 1, "draw": 1}


@runtime_checkable
class Probe(Protocol):
    """A question asked of traces.

    Attributes
    ----------
    name, version, summary : str
        What it is called, which version it is, and what it answers, in one line.
    api_version : int
        The protocol that it was written for: 1.
    access : {"frame", "step", "trace"}
        What one chunk holds.
    Params : type of pydantic.BaseModel
        Its parameters, each with a default.

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> isinstance(Energy(), Probe)
    True
    """

    name: ClassVar[str]
    version: ClassVar[str]
    api_version: ClassVar[int]
    summary: ClassVar[str]
    access: ClassVar[Access]
    Params: ClassVar[type[BaseModel]]

    def __init__(self, params: Any = None) -> None: ...

    def captures(self) -> list[Capture]:
        """What a trace must hold."""

    def map(self, chunk: xr.Dataset) -> State:
        """Turn one chunk, in memory, into a state; the chunk is not changed.

        A chunk's variables are named as the arrays of the store (``block.out.energy``) and keep all their dimensions,
        those of which only one label is at hand too. Its attributes hold ``trace_id`` and ``manifest``.
        """

    def combine(self, states: Sequence[State]) -> State:
        """Merge states into a new one; neither their order nor how they are grouped may matter."""

    def finish(self, state: State) -> xr.Dataset:
        """Turn the state of everything into the result."""

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """Draw the result; figures are made through ``matplotlib.figure.Figure``, never through pyplot."""


@runtime_checkable
class CausalProbe(Protocol):
    """A question that is asked by changing runs of a model.

    It has no base class either. ``name``, ``version``, ``api_version``, ``summary``, ``Params`` and ``draw`` are as in
    ``Probe``.

    Its result names its controls in the attribute ``controls``, a list of texts ``"KIND: VARIABLE"``, such as ``"sham:
    sham_identical"``: each a variable of the result. There is at least one, and they are there by default.

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> isinstance(Energy(), CausalProbe)
    False
    """

    name: ClassVar[str]
    version: ClassVar[str]
    api_version: ClassVar[int]
    summary: ClassVar[str]
    Params: ClassVar[type[BaseModel]]

    def __init__(self, params: Any = None) -> None: ...

    def run(self, context: Context) -> xr.Dataset:
        """Run the model as often as it takes, by ``context.lens``, and return the result.

        What is measured of one question with one seed goes through ``context.gather``, which keeps it, so that a run
        that was stopped goes on where it was. All randomness comes from parameters and units.
        """

    def draw(self, result: xr.Dataset) -> dict[str, Figure]:
        """Draw the result; figures are made through ``matplotlib.figure.Figure``, never through pyplot."""


AnyProbe = Probe | CausalProbe


def is_causal(probe: object) -> bool:
    """Whether a class or a probe changes runs instead of reading traces.

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> is_causal(Energy)
    False
    """
    return callable(getattr(probe, "run", None)) and not hasattr(probe, "map")


def reasons_against(candidate: object) -> tuple[str, ...]:
    """Why something is not a probe: one clause for each promise that its outside does not keep.

    Parameters
    ----------
    candidate : object
        Anything, usually a class that a plugin points at.

    Returns
    -------
    tuple of str
        Empty for a probe. What a probe computes is for ``dit_lens.testing.check_probe``.

    Examples
    --------
    >>> reasons_against(42)
    ('it is no class but int',)
    >>> from dit_lens_probes.energy import Energy
    >>> reasons_against(Energy)
    ()
    """
    if not inspect.isclass(candidate):
        return (f"it is no class but {type(candidate).__name__}",)
    return (*_text_reasons(candidate), *_value_reasons(candidate), *_method_reasons(candidate))


def _text_reasons(candidate: type) -> list[str]:
    return [
        f"its {member} is no text but {getattr(candidate, member, None)!r}"
        for member in _TEXT
        if not isinstance(getattr(candidate, member, None), str)
    ]


def _value_reasons(candidate: type) -> list[str]:
    api, access = getattr(candidate, "api_version", None), getattr(candidate, "access", None)
    params = getattr(candidate, "Params", None)
    reasons = []
    if api != API_VERSION:
        reasons.append(f"its api_version is {api!r}, this dit-lens speaks {API_VERSION}")
    if access not in _ACCESS and not is_causal(candidate):
        reasons.append(f"its access is {access!r}, allowed {', '.join(_ACCESS)}")
    if not (inspect.isclass(params) and issubclass(params, BaseModel)):
        reasons.append(f"its Params is no pydantic model but {params!r}")
    elif params is BaseModel:  # pydantic cannot make one of its own base class
        reasons.append("its Params is pydantic's BaseModel itself, not a subclass of it")
    return reasons


def _method_reasons(candidate: type) -> list[str]:
    reasons = []
    for method, arguments in (_CAUSAL_METHODS if is_causal(candidate) else _METHODS).items():
        function = getattr(candidate, method, None)
        if not callable(function):
            reasons.append(f"it has no method {method}")
        elif not _takes(function, 1 + arguments):
            reasons.append(f"its {method} takes other arguments than (self{', one more' if arguments else ''})")
    return reasons


def _takes(function: Any, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True
