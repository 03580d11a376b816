"""Where a causal probe edited: labels that its parameters name, and what its result and its figures say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dit_lens import Selection
from dit_lens.selection import pick

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens.engine.layout import Layout

__all__ = ["chosen_labels", "tell_steps", "words_of_steps"]

Label = int | str


def chosen_labels(name: str, axis: str, text: str, labels: Sequence[Label]) -> tuple[Any, ...]:
    """The labels of an axis that a parameter's text names; all of them if it is empty.

    Parameters
    ----------
    name : str
        Of the parameter, for messages.
    axis : str
    text : str
        As in a selection, ``0:3+7``.
    labels : sequence of int or str

    Raises
    ------
    BadSelection

    Examples
    --------
    >>> chosen_labels("swap.layers", "layer", "0:3+7", range(10))
    (0, 1, 2, 7)
    """
    terms = getattr(Selection.parse(f"{axis}={text}"), axis) if text else None
    return pick(axis, terms, labels, name, "parameter")


def tell_steps(layout: Layout, steps: Sequence[int], branches: Sequence[str]) -> dict[str, Any]:
    """Attributes of a result: the edited steps, never by their number alone."""
    sigmas = [float("nan") if layout.sigmas is None else layout.sigmas[step] for step in steps]
    experts = [layout.experts[step] for step in steps]
    told = {"steps": list(steps), "sigmas": sigmas, "experts": experts, "branches": list(branches)}
    return {f"edited_{name}": values for name, values in told.items()}


def words_of_steps(result: xr.Dataset) -> str:
    """What ``tell_steps`` told, for the title of a figure.

    Examples
    --------
    >>> import xarray as xr
    >>> told = {"edited_steps": [0], "edited_sigmas": [1.0], "edited_experts": ["transformer"]}
    >>> words_of_steps(xr.Dataset(attrs={**told, "edited_branches": ["cond", "uncond"]}))
    'step 0 (σ 1.000, transformer), branches cond + uncond'
    """
    columns = [result.attrs[f"edited_{name}"] for name in ("steps", "sigmas", "experts")]
    rows = [f"{step} (σ {sigma:.3f}, {expert})" for step, sigma, expert in zip(*columns, strict=True)]
    return f"step {', '.join(rows)}, branches {' + '.join(result.attrs['edited_branches'])}"
