"""What the sources of an edit give at an address, while the model runs.

Everything that can be wrong with a source was found before (``dit_lens.engine.donors`` for stored traces); a giver only
draws, reads or calls. A stored event is read when its address comes, and nobody keeps it.

Shapes: F frames, N tokens of a frame, C channels; H, W latent height and width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from dit_lens.address import Address
from dit_lens.edits.planned import Planned
from dit_lens.edits.sources import Constant, File, Function, Noise, Source, Stored, Values
from dit_lens.engine.donors import Donor
from dit_lens.engine.errors import BadEdit

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout

__all__ = ["Giver", "giver_of"]


class Giver(Protocol):
    """What one source gives."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a manifest says of it beside what the edit does: hashes of what was read."""
        ...

    def at(self, address: Address, current: torch.Tensor) -> torch.Tensor:
        """What it gives at an address, where ``current`` is; it broadcasts to that."""
        ...


def giver_of(source: Source, planned: Planned, layout: Layout, identity: Callable[[], Mapping[str, Any]]) -> Giver:
    """Make what gives a source's values, with all of it checked.

    Parameters
    ----------
    source : Source
    planned : Planned
    layout : Layout
    identity : callable
        Tells which model it is; asked only for a stored trace.

    Raises
    ------
    BadEdit, StoreError
    """
    match source:
        case Stored():
            return Donor(source, planned, layout, identity())
        case Noise():
            return _Noise(source.seed, 1.0 if planned.edit.op == "noise" else source.scale)
        case Constant():
            return _Tensor(_checked(torch.tensor(source.value), planned, layout), {})
        case Values():
            return _Tensor(_checked(torch.as_tensor(source.values), planned, layout), {})
        case File():
            return _file(source, planned, layout)
        case Function():
            return _Function(source, planned)


@dataclass(frozen=True)
class _Tensor:
    values: torch.Tensor
    facts: Mapping[str, Any]

    def at(self, _address: Address, _current: torch.Tensor) -> torch.Tensor:
        return self.values


@dataclass(frozen=True)
class _Noise:
    seed: int
    scale: float

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"algorithm": "torch CPU generator seeded by sha256('SEED/BRANCH/STEP/LAYER/PLACE'), first 8 bytes"}

    def at(self, address: Address, current: torch.Tensor) -> torch.Tensor:
        words = f"{self.seed}/{address.branch}/{address.step}/{address.layer}/{address.site}"
        seed = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1
        drawn = torch.randn(current.shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)
        return drawn if self.scale == 1 else drawn * self.scale


@dataclass(frozen=True)
class _Function:
    source: Function
    planned: Planned

    @property
    def facts(self) -> Mapping[str, Any]:
        return {}

    def at(self, address: Address, current: torch.Tensor) -> torch.Tensor:
        made = self.source.function(address, current.clone())
        if not isinstance(made, torch.Tensor) or made.shape != current.shape:
            got = tuple(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
            raise BadEdit(
                f"the function of edit '{self.planned.edit}' gave no values at {address}; got {got}, allowed a tensor "
                f"of shape {tuple(current.shape)}; return one"
            )
        return made


def _file(source: File, planned: Planned, layout: Layout) -> _Tensor:
    path = Path(source.path)
    try:
        array = np.load(path, allow_pickle=False)
        tensor = torch.from_numpy(np.ascontiguousarray(array))
    except (OSError, ValueError, TypeError) as error:
        raise BadEdit(
            f"the file of edit '{planned.edit}' cannot be read; got {' '.join(str(error).split())}, allowed an array "
            f"of numbers that numpy.save wrote; check the path"
        ) from None
    facts = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return _Tensor(_checked(tensor, planned, layout), facts)


def _checked(values: torch.Tensor, planned: Planned, layout: Layout) -> torch.Tensor:
    """Finite numbers that broadcast to an event."""
    shape = layout.event_shape(planned.edit.place.site)
    pairs = zip(reversed(values.shape), reversed(shape), strict=False)
    fits = values.ndim <= len(shape) and all(own in (1, extent) for own, extent in pairs)
    if not fits:
        raise BadEdit(
            f"the values of edit '{planned.edit}' have another shape; got {tuple(values.shape)}, allowed what "
            f"broadcasts to {shape}; reshape them"
        )
    if not torch.isfinite(values).all():
        raise BadEdit(
            f"the values of edit '{planned.edit}' are no numbers everywhere; got NaN or infinity, allowed finite "
            f"numbers; repair them"
        )
    return values.detach()
