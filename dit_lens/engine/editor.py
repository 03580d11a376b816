"""The editor: changes what flows at the planned addresses of one run, and counts that it came to each exactly once.

Its hooks stand before those of the recorder, so that a trace holds what the edits left. A batch is edited row by row:
a row is one branch of one sample. Where nothing was changed, the module's own tensor goes on, not a copy of it. What
goes on between the steps (state edits, resets of the solver, a late start) is in ``dit_lens.engine.between``.

Shapes: B rows of the batch, C channels, F frames, N tokens of a frame, H, W latent height and width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from dit_lens.adapters.family import Family, Stack
from dit_lens.address import Address
from dit_lens.edits.planned import Planned
from dit_lens.edits.sources import Noise
from dit_lens.engine.clock import Clock
from dit_lens.engine.errors import MissedEdit, UnexpectedVisit
from dit_lens.engine.givers import Giver
from dit_lens.engine.layout import Layout
from dit_lens.engine.operations import operate, region_of
from dit_lens.engine.streams import first_of, frames_of, with_first
from dit_lens_stores.errors import few

__all__ = ["Editor"]

_NAMED_AT_MOST = 5


class Editor:
    """The edits of one run.

    Parameters
    ----------
    family : Family
    layout : Layout
    edits : sequence of (Planned, sequence of Giver)
        In the order in which they act.
    clock : Clock
    """

    def __init__(
        self, family: Family, layout: Layout, edits: Sequence[tuple[Planned, Sequence[Giver]]], clock: Clock
    ) -> None:
        self._family, self._layout, self._clock = family, layout, clock
        self._edits: dict[Address, list[tuple[Planned, Sequence[Giver]]]] = {}
        for planned, givers in edits:
            for address in planned.addresses:
                self._edits.setdefault(address, []).append((planned, givers))
        self._places = {(address.layer, address.site) for address in self._edits}
        self._regions = {
            planned.number: region_of(planned.region, planned.edit.place.in_layers) for planned, _ in edits
        }
        self._seen: Counter[tuple[int, Address, int]] = Counter()

    def wants(self, layer: int | None, site: str) -> bool:
        """Whether any edit is made there."""
        return (layer, site) in self._places

    def on_view(self, _module: Any, args: Any, kwargs: Any) -> Any:
        """Hook of a denoiser, before it runs; after the clock was told."""
        name = self._family.argument
        values = kwargs[name] if name in kwargs else args[0]
        whole_BCFHW = self._unpacked(values)
        edited = self._rows(whole_BCFHW[:, : self._layout.latent[0]], None, "view")
        if edited is None:
            return None
        rest = whole_BCFHW[:, self._layout.latent[0] :]
        packed = self._family.packed(torch.cat([edited, rest], dim=1) if rest.shape[1] else edited)
        return (args, {**kwargs, name: packed}) if name in kwargs else ((packed, *args[1:]), kwargs)

    def on_output(self, number: int, kind: Stack, site: str) -> Callable[..., Any]:
        """Hook of a layer or of a part of it, after it ran."""

        def hook(_module: Any, _args: Any, output: Any) -> Any:
            stream = kind.video_of(output) if site == "block.out" else first_of(output)
            frames_BFNC = frames_of(stream, kind, number, site, self._layout, self._clock)
            edited = self._rows(frames_BFNC, number, site)
            if edited is None:
                return None
            values = kind.with_frames(stream, edited)
            return kind.with_video(output, values) if site == "block.out" else with_first(output, values)

        return hook

    def on_velocity(self, _module: Any, _args: Any, output: Any) -> Any:
        """Hook of a denoiser, after it ran."""
        made = first_of(output)
        edited = self._rows(self._family.velocity_of(made, self._layout.latent), None, "velocity")
        return None if edited is None else with_first(output, self._family.with_velocity(made, edited))

    def edited_latents(self, values: torch.Tensor, step: int, site: str) -> torch.Tensor:
        """Latents, or the guided velocity, in the scheduler's layout as the edits leave them; the same tensor if so."""
        address = Address(self._layout.experts[step], None, step, None, site)
        if address not in self._edits:
            return values
        rows_BCFHW = self._family.latents_of(values, self._layout.latent)
        self._check_shape(address, rows_BCFHW)
        made = torch.stack([self._applied(address, sample, row) for sample, row in enumerate(rows_BCFHW)])
        return values if torch.equal(made, rows_BCFHW) else self._family.packed(made)

    def missing(self) -> tuple[Address, ...]:
        """Every planned address to which an edit did not come, for every sample."""
        return tuple(sorted({address for _, address in self._missed()}))

    def check(self) -> None:
        """Raise ``MissedEdit`` if an edit did not come to an address, and name both."""
        missed = self._missed()
        if missed:
            named = few((f"'{edit}' at {address}" for edit, address in missed), _NAMED_AT_MOST)
            raise MissedEdit(
                f"edits did not come to their addresses; got none of {named}, allowed each once; a layer or a step did "
                f"not run: leave the edit out, or run an unmodified pipeline",
                self.missing(),
            )

    def _missed(self) -> list[tuple[str, Address]]:
        return [
            (str(planned.edit), address)
            for address, edits in sorted(self._edits.items())
            for planned, _ in edits
            if any(not self._seen[planned.number, address, sample] for sample in range(self._layout.batch))
        ]

    def _rows(self, values: torch.Tensor, layer: int | None, site: str) -> torch.Tensor | None:
        """All rows of a batch as the edits leave them; None if they leave them as they are."""
        self._clock.check_rows(len(values))
        every = [(self._clock.address(branch, layer, site), sample) for branch, sample in self._clock.rows]
        if not any(address in self._edits for address, _ in every):
            return None
        made = [
            self._applied(address, sample, values[row]) if address in self._edits else values[row]
            for row, (address, sample) in enumerate(every)
        ]
        if all(new is values[row] or torch.equal(new, values[row]) for row, new in enumerate(made)):
            return None
        return torch.stack(made)

    def _applied(self, address: Address, sample: int, values: torch.Tensor) -> torch.Tensor:
        """What the edits of an address make of one sample's values, one after the other."""
        for planned, givers in self._edits[address]:
            self._visit(planned, address, sample)
            source = planned.edit.source if isinstance(planned.edit.source, Noise) else None
            given = (giver.at(address, values) for giver in givers)
            values = operate(planned.edit.op, values, given, self._regions[planned.number], source)
        return values

    def _visit(self, planned: Planned, address: Address, sample: int) -> None:
        self._seen[planned.number, address, sample] += 1
        if self._seen[planned.number, address, sample] > 1:
            raise UnexpectedVisit(
                f"the run came to an address twice; got {address} again for edit '{planned.edit}', allowed once; "
                f"edit a pipeline that calls every layer once a branch and step",
                (address,),
            )

    def _unpacked(self, values: torch.Tensor) -> torch.Tensor:
        """What the denoiser is called with as (B, C, F, H, W), with the channels that it sees beside the latents."""
        _, frames, rows, columns = self._layout.latent
        channels, rest = divmod(values[0].numel(), frames * rows * columns)
        address = self._clock.address(None, None, "view")
        if rest:
            self._check_shape(address, values)
        whole_BCFHW = self._family.latents_of(values, (channels, frames, rows, columns))
        self._check_shape(address, whole_BCFHW[:, : self._layout.latent[0]])
        return whole_BCFHW

    def _check_shape(self, address: Address, values_BCFHW: torch.Tensor) -> None:
        shape = tuple(values_BCFHW.shape[1:])
        if shape != self._layout.latent:
            raise UnexpectedVisit(
                f"the run came with another shape than planned to {address}; got {shape}, allowed "
                f"{self._layout.latent}; edit another place",
                (address,),
            )
