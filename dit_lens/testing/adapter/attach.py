"""Hooks of a check: they stay for one run, and change what flows where the check wants to see what follows from it.

A hook acts in the first call of a denoiser only, be it of whichever expert, and the run ends with that call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from dit_lens.testing.adapter.report import Broken
from dit_lens.testing.adapter.subject import Subject

__all__ = ["Enough", "FirstCall", "delta_of", "first_of", "moved_latents"]

_STRENGTH = 3.0  # of a change, in standard deviations of the latents, and at least in units


class Enough(Exception):
    """What a run was made for was seen."""


class FirstCall:
    """The first call of any denoiser, and the run up to it.

    Attributes
    ----------
    running : bool
        Whether the run is inside of that call.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.running = False

    def run(self) -> None:
        """Run until the call is over."""
        try:
            self._subject.run()
        except Enough:
            self._subject.pipeline.maybe_free_model_hooks()

    @contextmanager
    def attached(self, into: Callable[..., Any] | None, out: Callable[[Any], None]) -> Iterator[ExitStack]:
        """While inside, ``into(module, args, kwargs)`` may change that call's arguments, and ``out`` sees its output.

        The exit stack that is given takes the removers of further hooks.
        """

        def enter(module: Any, args: Any, kwargs: Any) -> Any:
            self.running = True
            return into(module, args, kwargs) if into else None

        def leave(_module: Any, _args: Any, output: Any) -> None:
            out(output)
            raise Enough

        with ExitStack() as hooks:
            for denoiser in self._subject.family.denoisers(self._subject.pipeline).values():
                hooks.callback(denoiser.register_forward_pre_hook(enter, with_kwargs=True).remove)
                hooks.callback(denoiser.register_forward_hook(leave).remove)
            yield hooks


def moved_latents(subject: Subject, where_CFHW: torch.Tensor) -> Callable[..., Any]:
    """A hook before a denoiser that changes its latents where a mask is true, in the family's own layout."""
    argument = subject.family.argument
    delta = delta_of(subject, where_CFHW)

    def hook(module: Any, args: Any, kwargs: Any) -> Any:
        given = inspect.signature(type(module).forward).bind(module, *args, **kwargs).arguments
        if argument not in given:
            raise Broken(f"the denoiser is not given '{argument}', but {', '.join(given)}", "correct Family.argument")
        changed = _changed(given[argument], delta)
        if argument in kwargs:
            return args, {**kwargs, argument: changed}
        return tuple(changed if value is given[argument] else value for value in args), kwargs

    return hook


def delta_of(subject: Subject, where_CFHW: torch.Tensor) -> torch.Tensor:
    """The mask as numbers in the layout of the denoiser's input, without its batch."""
    return subject.family.packed(where_CFHW[None].float())[0]


def first_of(output: Any) -> torch.Tensor:
    """The first item of a tuple or model output, or the tensor itself."""
    values: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return values


def _changed(values: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """Latents with a change in them; what a pipeline adds to their channels comes behind them, and stays."""
    room = tuple(values.shape[1:])
    if len(room) != delta.ndim or any(extent > there for extent, there in zip(delta.shape, room, strict=True)):
        raise Broken(
            f"the denoiser is given latents of shape {room}, which {tuple(delta.shape)} do not fit into",
            "correct Family.latent, latent_shape or pack",
        )
    at = (slice(None), *(slice(extent) for extent in delta.shape))
    strength = _STRENGTH * max(1.0, float(values[at].float().std()))
    changed = values.clone()
    changed[at] += (strength * delta).to(changed)
    return changed
