"""Count how often the denoisers ran: what an experiment cost, whatever the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dit_lens.lens import Lens

__all__ = ["Calls", "counted"]


@dataclass
class Calls:
    """A count that grows while it is looked at.

    Attributes
    ----------
    count : int
        Calls so far; a step with guidance takes two, or one of twice the batch.
    """

    count: int = 0

    def __call__(self, *_: Any) -> None:
        """One call more; has the form of a hook, and changes nothing."""
        self.count += 1


@contextmanager
def counted(lens: Lens) -> Iterator[Calls]:
    """Hooks on every denoiser, gone at the end.

    Parameters
    ----------
    lens : Lens

    Yields
    ------
    Calls
    """
    calls = Calls()
    with ExitStack() as hooks:
        for denoiser in lens.family.denoisers(lens.pipeline).values():
            hooks.callback(denoiser.register_forward_pre_hook(calls).remove)
        yield calls
