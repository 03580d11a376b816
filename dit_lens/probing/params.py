"""Turn a class and a mapping of parameters into a probe that is ready to run.

Parameters come from the command line as text and from Python as values; pydantic reads both. A name that the probe does
not know is refused even if its model would ignore it, because a misspelt parameter that silently does nothing is worse
than an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from dit_lens.complaints import complain
from dit_lens.probing.errors import BadParams, ProbeFailed
from dit_lens.probing.protocol import AnyProbe
from dit_lens_stores.errors import DitLensError, close_match

__all__ = ["build_probe", "params_of"]


def build_probe(probe: type[AnyProbe], params: Mapping[str, Any] | None = None) -> AnyProbe:
    """Make a probe with parameters.

    Parameters
    ----------
    probe : type of Probe or CausalProbe
    params : mapping, optional
        Values, or text that pydantic can read as such; what is left out takes its default.

    Returns
    -------
    Probe or CausalProbe

    Raises
    ------
    BadParams
        If a parameter is unknown or does not fit; one line names each of them.

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> build_probe(Energy, {"step": "3", "overlay": "true"}).params.step
    3
    >>> build_probe(Energy, {"stepp": 3})
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.BadParams: probe 'energy' knows no parameter 'stepp'; ...; did you mean 'step'?
    """
    values = params_of(probe, params or {})
    try:
        return probe(values)
    except DitLensError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ProbeFailed(f"probe '{probe.name}' {probe.version} cannot be made; got {reason}") from error


def params_of(probe: type[AnyProbe], params: Mapping[str, Any]) -> BaseModel:
    """The validated parameters of a probe.

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> params_of(Energy, {"scale": "raw"}).scale
    'raw'
    """
    fields = probe.Params.model_fields
    known = [*fields, *(field.alias for field in fields.values() if field.alias)]
    for name in params:
        if name not in known:
            allowed = ", ".join(known) or "no parameters"
            message = f"probe '{probe.name}' knows no parameter '{name}'; got '{name}', allowed {allowed}"
            raise BadParams(message + close_match(name, known))
    try:
        return probe.Params.model_validate(dict(params))
    except ValidationError as error:
        raise BadParams(f"probe '{probe.name}' refuses its parameters: {_one_line(error, probe.Params)}") from error


def _one_line(error: ValidationError, params: type[BaseModel]) -> str:
    """Pydantic's report without its links and line breaks; a union reports each of its members, the first is enough."""
    first: dict[str, str] = {}
    for problem in error.errors(include_url=False):
        first.setdefault(str(problem["loc"][:1]), complain(problem, params))
    return "; ".join(first.values())
