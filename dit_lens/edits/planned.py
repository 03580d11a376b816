"""An edit with the numbers of one run: every address that it will come to, and the region of each that it changes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dit_lens.address import Address
from dit_lens.edits.edit import Edit
from dit_lens.edits.words import in_words
from dit_lens.engine.errors import BadEdit
from dit_lens.selection import Term, pick

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout

__all__ = ["Planned", "plan_edit"]


@dataclass(frozen=True, eq=False)
class Planned:
    """An edit that was checked against a run.

    Attributes
    ----------
    edit : Edit
    number : int
        Its place in the list of edits, which is the order in which they act.
    addresses : tuple of Address
        In the order of the run; with the name of the place for a site.
    region : numpy.ndarray of bool, shape (frames, rows, columns)
        What is changed, of the grid of tokens or of the latent.
    frames : tuple of int
        Labels of the frames of the region's grid.
    """

    edit: Edit
    number: int
    addresses: tuple[Address, ...]
    region: npt.NDArray[np.bool_]
    frames: tuple[int, ...]

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps in which it acts."""
        return tuple(sorted({address.step for address in self.addresses}))

    def __str__(self) -> str:
        return in_words(self.edit, self.addresses, int(self.region.sum()))

    def __repr__(self) -> str:
        return f"<dit-lens edit {self.number}: {self}>"


def plan_edit(edit: Edit, layout: Layout, number: int = 0) -> Planned:
    """Check an edit against a run, and give every address that it will come to.

    Parameters
    ----------
    edit : Edit
    layout : Layout
    number : int

    Returns
    -------
    Planned

    Raises
    ------
    BadEdit
        If the model does not have the place, or the region is empty.
    BadSelection
        With the allowed range.

    Examples
    --------
    >>> from dit_lens.engine.layout import Layout
    >>> steps = {"experts": ("transformer",) * 2, "timesteps": (999.0, 500.0), "sigmas": (1.0, 0.5)}
    >>> sizes = {"layers": 40, "tokens": (5, 9, 9), "channels": 8, "latent": (4, 5, 9, 9), "video": (17, 72, 72)}
    >>> layout = Layout(branches=("cond", "uncond"), dtype="float32", **steps, **sizes)
    >>> print(plan_edit(Edit("block.out", "step=0,layer=20:30,y=0:8", "zero"), layout))
    step 0, cond+uncond, layers 20-29, 360 of the tokens: replace by zeros (block.out)
    """
    if not layout.has(edit.place.site):
        given = [name for name in ("block.out", "attn1.out", "attn2.out", "ffn.out") if layout.has(name)]
        raise BadEdit(
            f"edit '{edit}' cannot be made in this model; got {edit.site}, allowed state, view, velocity, "
            f"velocity.guided, {', '.join(given)}; choose one of those"
        )
    labels = {dim: _pick(edit, dim, layout) for dim in edit.place.event_dims}
    addresses = [_address(edit, dict(zip(labels, at, strict=True)), layout) for at in product(*labels.values())]
    chosen = _of_expert(edit, addresses, layout)
    frames = tuple(int(frame) for frame in layout.labels("frame", edit.place.site))
    return Planned(edit, number, tuple(sorted(chosen)), _region(edit, layout, frames), frames)


def _pick(edit: Edit, axis: str, layout: Layout) -> tuple[Term, ...]:
    return pick(axis, getattr(edit.where, axis), layout.labels(axis, edit.place.site), str(edit), "edit")


def _address(edit: Edit, at: dict[str, Any], layout: Layout) -> Address:
    step = int(at["step"])
    return Address(layout.experts[step], at.get("branch"), step, at.get("layer"), edit.site)


def _of_expert(edit: Edit, addresses: list[Address], layout: Layout) -> list[Address]:
    running = tuple(dict.fromkeys(layout.experts[step] for step in layout.running))
    experts = pick("expert", edit.where.expert, running, str(edit), "edit")
    kept = [address for address in addresses if address.expert in experts]
    if not kept:
        at = [step for step in layout.running if layout.experts[step] in experts]
        raise BadEdit(
            f"edit '{edit}' comes to no address; got steps {', '.join(str(a.step) for a in addresses[:6])}, allowed "
            f"{at[0]} to {at[-1]} for {', '.join(map(str, experts))}; choose a step in which the expert runs"
        )
    return kept


def _region(edit: Edit, layout: Layout, frames: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """True where the selection and the mask choose."""
    rows, columns = layout.tokens[1:] if edit.place.in_layers else layout.latent[2:]
    region: npt.NDArray[np.bool_] = np.zeros((len(frames), rows, columns), bool)
    chosen = [
        pick(axis, getattr(edit.where, axis), labels, str(edit), "edit")
        for axis, labels in (("frame", frames), ("y", range(rows)), ("x", range(columns)))
    ]
    region[np.ix_([frames.index(int(frame)) for frame in chosen[0]], *(list(map(int, at)) for at in chosen[1:]))] = True
    if edit.place.in_layers:
        tokens = pick("token", edit.where.token, range(rows * columns), str(edit), "edit")
        region &= np.isin(np.arange(rows * columns), tokens).reshape(1, rows, columns)
    if edit.mask is not None:
        _check_mask(edit, region.shape)
        region &= edit.mask.array
    if not region.any():
        raise BadEdit(
            f"edit '{edit}' comes to no place; got an empty region, allowed one of {region.size} or more; widen frame, "
            f"token, y, x or the mask"
        )
    return region


def _check_mask(edit: Edit, grid: tuple[int, ...]) -> None:
    assert edit.mask is not None
    if edit.mask.shape != grid:
        words = [" x ".join(map(str, shape)) for shape in (edit.mask.shape, grid)]
        what = "tokens" if edit.place.in_layers else "places of the latent"
        raise BadEdit(
            f"the mask of edit '{edit}' does not fit the run; got {words[0]}, allowed {words[1]} {what} (frames x rows "
            f"x columns); make it anew at that size"
        )
