"""In which precision the networks of tiny-wan are trained: bfloat16 where the processor computes with it, else float32.

Without instructions for it a product in bfloat16 is emulated, many times slower than one in float32. The optimisers
and the weights are float32 either way.
"""

from __future__ import annotations

import torch

__all__ = ["mixed_precision"]


def mixed_precision(device: str) -> torch.autocast:
    """Autocast to bfloat16 on a GPU or a processor with AVX-512; nothing on others.

    Parameters
    ----------
    device : str
        As torch names it, such as ``cpu`` or ``cuda:1``.

    Examples
    --------
    >>> with mixed_precision("cpu"):
    ...     _ = torch.ones(2, 2) @ torch.ones(2, 2)
    """
    kind = torch.device(device).type
    fast = kind != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(kind, torch.bfloat16, enabled=fast)
