"""The seed of a request determines its whole run, also what is drawn without the request's generator.

Pipelines draw the first latents from the generator that they are given, but most do not hand it on to
``scheduler.step``. A scheduler that adds noise there (``FlowMatchLCMScheduler``, ``stochastic_sampling``,
``sde-dpmsolver++``, ``EulerAncestralDiscreteScheduler``) draws from torch's global generator: two runs of one request
would differ, a traced run would not be the plain one, and a run could not be resumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int, device: torch.device | str) -> Iterator[None]:
    """While inside, torch's global generators start from a seed; afterwards they are as they were.

    Parameters
    ----------
    seed : int
        Of the first request, if several run together.
    device : torch.device or str
        On which the pipeline runs; the generators of the host and of this device are set.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with seeded(3, "cpu"):
    ...     first = torch.randn(2)
    >>> with seeded(3, "cpu"):
    ...     torch.equal(torch.randn(2), first)
    True
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """
    device = torch.device(device)
    module: Any = None if device.type in ("cpu", "meta") else torch.get_device_module(device)
    numbers = [] if module is None else [_number(device, module)]
    with torch.random.fork_rng(numbers, device_type="cuda" if module is None else device.type):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which seeds every other device as well
        for number in numbers:
            with module.device(number) if hasattr(module, "device") else nullcontext():
                module.manual_seed(seed)
        yield


def _number(device: torch.device, module: Any) -> int:
    index: int | None = device.index
    current = getattr(module, "current_device", int)
    return int(current()) if index is None else index
