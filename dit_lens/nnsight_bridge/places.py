"""Addresses and places: what a block writes, and what it gets for it.

``At`` turns a step, a branch and a layer into a ``Place``: nnsight's view of that module, tied to one call of one
denoiser. Everything that is reached through a place, submodules and operations of ``.source`` included, is a place of
the same address, and every value that is asked of it is asked of that call. A place that has no address (the model
itself) gives values only of modules outside the denoisers, and nnsight's own ways to run or count are not on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dit_lens.address import Address
from dit_lens.engine.errors import BadBlock, BadSelection
from dit_lens.nnsight_bridge import reading, saving
from dit_lens.nnsight_bridge.visits import Visit
from dit_lens.nnsight_bridge.watch import Watch, no_address
from dit_lens.sites import SITES
from dit_lens_stores import Store, create_store
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens.adapters.family import Family
    from dit_lens.engine.layout import Layout
    from dit_lens.generation import Result

__all__ = ["At", "Place"]

_VALUES = ("output", "input", "inputs")
_REFUSED = frozenset({"all", "clear_edits", "edit", "generate", "interleave", "iter", "scan", "session", "trace"})
"""What nnsight's views have and a place has not: it would run, store or count past the addresses."""


class At:
    """Turns addresses into places of the running model.

    Parameters
    ----------
    layout : Layout
    family : Family
    steps : tuple of int
    watch : Watch
    model : nnsight.Envoy

    Attributes
    ----------
    steps : tuple of int
        The steps that may be addressed.
    branches : tuple of str
    layers : tuple of int
    saved : dict of Address to torch.Tensor
        What ``Place.save`` kept.
    result : Result or None
        What the run gave, once it is over.
    """

    def __init__(self, layout: Layout, family: Family, steps: tuple[int, ...], watch: Watch, model: Any) -> None:
        self.steps, self.branches, self.layers = steps, layout.branches, tuple(range(layout.layers))
        self.saved: dict[Address, torch.Tensor] = {}
        self.result: Result | None = None
        self._layout, self._family, self._watch, self._model = layout, family, watch, model
        self._manifest: Callable[[], Mapping[str, Any]] = dict

    @property
    def visits(self) -> tuple[Visit, ...]:
        """Every call of a denoiser that the run makes, in order."""
        return self._watch.visits

    def __call__(
        self, step: int, branch: str | None = None, layer: int | None = None, *, expert: str | None = None
    ) -> Place:
        """The place of an address: a layer, or the denoiser itself.

        Parameters
        ----------
        step : int
            From 0; negative numbers count from the end of the run.
        branch : str, optional
            May be left out where only one call is made in a step, and must be where the branches are rows of it.
        layer : int, optional
            From 0, negative numbers from the end; the whole denoiser by default.
        expert : str, optional
            Compared with the one that runs at this step.

        Returns
        -------
        Place

        Raises
        ------
        BadSelection
            If the run has no such address, or the session leaves it out.
        """
        step = _chosen("step", _counted(step, self._layout.steps), self.steps, "the run")
        where = f"step {step}"
        calls = {visit.branch: visit for visit in self.visits if visit.step == step}
        name = next(iter(calls)) if branch is None and len(calls) == 1 else branch
        visit = calls[_chosen("branch", name, tuple(calls), where)]
        _chosen("expert", expert or visit.expert, (visit.expert,), where)
        denoiser = Place(getattr(self._model, visit.expert), self._watch, self, visit)
        if layer is None:
            return denoiser
        number = _chosen("layer", _counted(layer, len(self.layers)), self.layers, where)
        return Place(denoiser._thing.get(self._layout.modules[number]), self._watch, self, visit, number)

    def each(self, branch: str | None = None, layer: int | None = None) -> Iterator[Place]:
        """The places of one branch and layer at every step that may be addressed, in the order of the run."""
        return (self(step, branch, layer) for step in self.steps)

    def write(self, out: str | Path | Store, trace_id: str) -> None:
        """Write what was saved as a trace of its own: a site's array as a raw capture of it would be.

        Parameters
        ----------
        out : str, pathlib.Path or Store
            A new path, or a store to add to.
        trace_id : str

        Raises
        ------
        BadBlock
            If nothing was saved, or what one name has is no full grid of branches, steps and layers.
        """
        specs = saving.array_specs(self.saved, self._layout)
        store = out if isinstance(out, Store) else create_store(out)
        saving.write_saved(self.saved, specs, self._layout, store, trace_id, self._manifest())

    def keep(self, address: Address, value: torch.Tensor) -> torch.Tensor:
        """Put a copy into ``saved``.

        Raises
        ------
        BadBlock
            If something was saved under this address before.
        """
        if address in self.saved:
            raise BadBlock(
                f"the block saved twice under one address; got {address} again, allowed once; save under another name"
            )
        self.saved[address] = value.detach().clone()
        return self.saved[address]


class Place:
    """A module or operation of the running model, tied to one call of a denoiser.

    Attributes are those of nnsight: ``output``, ``input``, ``inputs``, ``source``, ``skip`` and submodules. Values are
    the model's own tensors: an edit in place edits the model, and a value that is to stay as it was must be saved or
    cloned. Modules outside the denoisers (text encoder, autoencoder) have no address: ``model`` gives their first
    visit.

    Parameters
    ----------
    thing : nnsight.Envoy, Source or SourceEnvoy
    watch : Watch
    at : At, optional
    visit : Visit, optional
    layer : int, optional
    """

    def __init__(
        self, thing: Any, watch: Watch, at: At | None = None, visit: Visit | None = None, layer: int | None = None
    ) -> None:
        vars(self).update(_thing=thing, _watch=watch, _at=at, _visit=visit, _layer=layer)

    def __getattr__(self, name: str) -> Any:
        if name in _REFUSED:
            raise BadBlock(
                f"the block cannot use nnsight's own '{name}'; got it on {self}, allowed "
                f"{', '.join(_VALUES)}, source, skip and submodules; give the address to at()"
            )
        if name.startswith("__"):
            raise AttributeError(name)
        with self._watch.tied(self._visit):
            return self._of(getattr(self._thing, name))

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(getattr(type(self._thing), name, None), property):
            raise BadBlock(
                f"the block cannot set '{name}'; got it on {self}, allowed {', '.join(_VALUES)}"
                f"{close_match(name, _VALUES) or '; edit other values in place'}"
            )
        with self._watch.tied(self._visit):
            setattr(self._thing, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._of(self._thing[key])

    def __iter__(self) -> Iterator[Any]:
        return (self._of(thing) for thing in self._thing)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module on the side, with values of the block's own; no address is visited."""
        return self._thing(*args, **kwargs)

    def __str__(self) -> str:
        if self._visit is None:
            return str(self._thing.path)
        return f"{self._visit}{'' if self._layer is None else f'/layer {self._layer}'}"

    def __repr__(self) -> str:
        return f"{self}: {self._thing!r}"

    def skip(self, replacement: Any) -> None:
        """Do not run the module at this address; ``replacement`` is its output."""
        with self._watch.tied(self._visit):
            self._thing.skip(replacement)

    def read(self, site: str) -> torch.Tensor:
        """The model's own tensor at a site of this address, as the model has it: edit it in place.

        Parameters
        ----------
        site : str
            At a denoiser ``velocity``; at a layer ``block.in``, ``block.out``, ``attn1.out``, ``attn2.out``,
            ``ffn.out``, and ``attn1.q`` and the like: (rows, tokens, heads, channels), after the rotary embedding.

        Returns
        -------
        torch.Tensor

        Raises
        ------
        UnknownCapture
            If there is no such site here.
        """
        at, visit = self._address()
        reading.check_site(at._layout, self._layer, site, str(self))
        place = at(visit.step, visit.branch, self._layer)
        return reading.read(place, site, None if self._layer is None else self._stack())

    def save(self, site: str, value: torch.Tensor | None = None) -> torch.Tensor:
        """Keep a copy in ``at.saved`` under this address.

        Parameters
        ----------
        site : str
            A site, to read it and keep it in the site's own dimensions; otherwise a name for the value.
        value : torch.Tensor, optional

        Returns
        -------
        torch.Tensor
            The copy; that of the last row, where the branches are rows of a batch.

        Raises
        ------
        BadBlock
            If a value is given for a site's name, or something was saved under this address before.
        UnknownCapture
            If there is no such site here.
        """
        at, visit = self._address()
        if value is not None and site in SITES:
            raise BadBlock(
                f"the block cannot save a value of its own as a site; got '{site}' at {self}, allowed any other name; "
                "leave the value out to save the site"
            )
        if value is not None:
            return at.keep(Address(visit.expert, visit.branch, visit.step, self._layer, site), value)
        live = self.read(site)
        stack = None if self._layer is None else self._stack()
        rows = reading.in_dims(at._layout, at._family, stack, site, live)
        kept = [
            at.keep(Address(visit.expert, branch, visit.step, self._layer, site), row)
            for branch, row in zip(visit.branches, rows, strict=True)
        ]
        return kept[-1]

    def _address(self) -> tuple[At, Visit]:
        if self._at is None or self._visit is None:
            raise no_address(str(self))
        return self._at, self._visit

    def _stack(self) -> Any:
        at, visit = self._address()
        return at._family.layers(getattr(at._model, visit.expert)._module)[self._layer][0]

    def _of(self, value: Any) -> Any:
        """Views of nnsight become places of the same address; values stay as they are."""
        from nnsight.intervention.envoy import Envoy
        from nnsight.intervention.source import Source, SourceEnvoy

        if isinstance(value, (Envoy, Source, SourceEnvoy)):
            return Place(value, self._watch, self._at, self._visit, self._layer)
        return value


def _counted(number: int, length: int) -> int:
    return number + length if isinstance(number, int) and -length <= number < 0 else number


def _chosen(axis: str, value: Any, allowed: Sequence[Any], where: str) -> Any:
    """One label of an axis, if it is there."""
    if value in allowed and not isinstance(value, bool):
        return value
    names = [str(label) for label in allowed]
    hint = close_match(str(value), names) or f"; choose a {axis} that the session has"
    raise BadSelection(f"the block has no such {axis} in {where}; got {value!r}, allowed {', '.join(names)}{hint}")
