"""A capture with the labels of one run: the shape of its array, every address that must come, and its size.

The labels of the *array* are one thing, the labels of the site's own dimensions that a reduction is given another: a
mean over three frames has no frames, and still is of those three.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from dit_lens.address import Address
from dit_lens.engine.errors import BadSelection
from dit_lens.selection import Term
from dit_lens.sites import SITES
from dit_lens_stores.summary import extents

if TYPE_CHECKING:
    from dit_lens.captures import Capture
    from dit_lens.engine.layout import Layout

__all__ = ["EVENT_BYTES_AT_MOST", "Resolved", "refuse_large"]

EVENT_BYTES_AT_MOST = 2**30
"""One event must fit into the buffers between the device and the store: larger ones are refused."""


@dataclass(frozen=True)
class Resolved:
    """A capture with the labels of one run: the shape of its array, and every address that must come.

    Attributes
    ----------
    capture : Capture
    labels : mapping of str to tuple
        The labels of every dimension of the array, in the order of the dimensions.
    chosen : mapping of str to tuple
        The labels of the site's own dimensions that the reduction is given; and of those over which the site's values
        are a mean already.
    """

    capture: Capture
    labels: Mapping[str, tuple[Term, ...]]
    chosen: Mapping[str, tuple[Term, ...]]

    def __repr__(self) -> str:
        return f"<dit-lens capture {self.capture}: {extents({dim: len(at) for dim, at in self.labels.items()})}>"

    @property
    def event_dims(self) -> tuple[str, ...]:
        """The leading dimensions that one event fixes."""
        return SITES[self.capture.site].event_dims

    @property
    def event_bytes(self) -> int:
        """Size of one event as it leaves the device."""
        values = math.prod(len(labels) for dim, labels in self.labels.items() if dim not in self.event_dims)
        return values * (2 if self.capture.dtype in ("float16", "bits") else 4)

    def events(self, layout: Layout) -> Iterator[tuple[Address, dict[str, Term]]]:
        """Every expected address with the labels that it fills."""
        for labels in product(*(self.labels[dim] for dim in self.event_dims)):
            event = dict(zip(self.event_dims, labels, strict=True))
            step, branch, layer = int(event["step"]), event.get("branch"), event.get("layer")
            yield (
                Address(
                    layout.experts[step],
                    None if branch is None else str(branch),
                    step,
                    None if layer is None else int(layer),
                    self.capture.site,
                ),
                event,
            )


def refuse_large(resolved: Resolved) -> None:
    """Refuse events beyond ``EVENT_BYTES_AT_MOST``.

    Attention rows are computed whole before they are reduced; everything else lies in the model's own memory.

    Raises
    ------
    BadSelection
    """
    site = SITES[resolved.capture.site]
    computed = 4 * math.prod(len(resolved.chosen[dim]) for dim in site.value_dims) if site.probabilities else 0
    size = max(resolved.event_bytes, computed)
    if size > EVENT_BYTES_AT_MOST:
        raise BadSelection(
            f"capture '{resolved.capture}' makes events that are too large; got {size / 2**30:.1f} GiB an event, "
            f"allowed {EVENT_BYTES_AT_MOST // 2**30} GiB; select fewer tokens, as in [frame=0,y=0:4,x=0:4]"
        )
