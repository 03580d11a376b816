"""Where the values of an edit come from, as data.

A source says everything that decides its values, so that an edit can be written down, hashed and run again: a number, a
seed, an address in a stored trace, a file. Two kinds live in Python alone, because no file can hold them: a tensor and
a function; the manifest keeps their hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from dit_lens.engine.errors import BadEdit
from dit_lens.facts import fact

if TYPE_CHECKING:
    from dit_lens.address import Address

__all__ = ["Constant", "File", "Function", "Noise", "Source", "Stored", "Values", "path_text"]


@dataclass(frozen=True)
class Constant:
    """One number.

    Examples
    --------
    >>> print(Constant(0.5))
    0.5
    """

    value: float
    kind: Literal["constant"] = field(default="constant", kw_only=True, repr=False)

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Noise:
    """Standard normal noise, drawn anew for every address.

    It is drawn on the host in float32 for the whole event from the seed and the address (branch, step, layer, place),
    so that it is the same on every device, in every batch, and whatever region is edited.

    Attributes
    ----------
    seed : int
    scale : float
        Its standard deviation; with the op ``noise``, in units of the root mean square of what is there.

    Examples
    --------
    >>> print(Noise(3), Noise(3, 0.5))
    noise(3) noise(3,0.5)
    """

    seed: int
    scale: float = 1.0
    kind: Literal["noise"] = field(default="noise", kw_only=True, repr=False)

    def __str__(self) -> str:
        return f"noise({self.seed})" if self.scale == 1 else f"noise({self.seed},{self.scale:g})"


@dataclass(frozen=True)
class Stored:
    """What a stored trace holds, by default at the address that is edited.

    The trace must hold the site raw (``block.out``, ``latent``, ``velocity``, ... without a reduction). It is read one
    event at a time while the model runs, after all of it was checked before.

    Attributes
    ----------
    store : str
        Path or address of the store.
    trace : str
    site : str, optional
        Another site of the same shape.
    step, layer : int or str, optional
        Another step or layer for all addresses, or how much further on, as text: ``"+1"``, ``"-2"``. A step of another
        noise level is another experiment, and is read only if it is named here.
    branch : str, optional
        Another branch.
    expert : str, optional
        The denoiser that gave the values, if it is not the one that runs.
    shift : tuple of int
        Frames, rows and columns: a token gets what the trace has so much further on.
    rounded : bool
        Whether values may be used that the store rounded (``@float16``, a float32 model ``@bits``): they are not bit
        for bit what the model computed.
    other_model : bool
        Whether the trace may be of a model with other weights.

    Examples
    --------
    >>> print(Stored("runs/a.zarr", "t0"), Stored("a.zarr", "t0", layer="+1", shift=(0, 0, 2)))
    trace(runs/a.zarr#t0) trace(a.zarr#t0,layer=+1,shift=0/0/2)
    """

    store: str
    trace: str
    site: str | None = None
    step: int | str | None = None
    layer: int | str | None = None
    branch: str | None = None
    expert: str | None = None
    shift: tuple[int, int, int] = (0, 0, 0)
    rounded: bool = False
    other_model: bool = False
    kind: Literal["trace"] = field(default="trace", kw_only=True, repr=False)

    MAPPED: ClassVar[tuple[str, ...]] = ("site", "step", "layer", "branch", "expert")

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", path_text(self.store))
        object.__setattr__(self, "shift", tuple(self.shift))
        for name in ("step", "layer"):
            value: object = getattr(self, name)
            if (isinstance(value, str) and _NUMBER.fullmatch(value)) or value is None or isinstance(value, int):
                continue
            raise BadEdit(
                f"the source of an edit has no such {name}; got {value!r}, allowed a number, or text as in '+1'; write "
                f"{name}=3"
            )

    def __str__(self) -> str:
        named = [f"{name}={getattr(self, name)}" for name in self.MAPPED if getattr(self, name) is not None]
        shift = ["shift=" + "/".join(map(str, self.shift))] if any(self.shift) else []
        flags = [name for name in ("rounded", "other_model") if getattr(self, name)]
        return f"trace({','.join([f'{self.store}#{self.trace}', *named, *shift, *flags])})"


@dataclass(frozen=True)
class File:
    """An array in a file of NumPy (``.npy``), of the shape of an event or one that broadcasts to it.

    Examples
    --------
    >>> print(File("direction.npy"))
    file(direction.npy)
    """

    path: str
    kind: Literal["file"] = field(default="file", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", path_text(self.path))

    def __str__(self) -> str:
        return f"file({self.path})"


@dataclass(frozen=True, eq=False)
class Values:
    """A tensor or array in memory, of the shape of an event or one that broadcasts to it: (C,) of all tokens, say.

    Examples
    --------
    >>> import numpy as np
    >>> Values(np.zeros(3)) == Values(np.zeros(3)), Values(np.zeros(3)) == Values(np.ones(3))
    (True, False)
    """

    values: Any
    kind: Literal["values"] = field(default="values", kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if not hasattr(self.values, "detach"):
            object.__setattr__(self, "values", np.asarray(self.values))
        if not hasattr(self.values, "detach") and self.values.dtype.kind not in "fiub":
            raise BadEdit(
                f"the source of an edit has no such values; got {self.values.dtype}, allowed real numbers; give some"
            )

    @cached_property
    def fact(self) -> Any:
        """Their hash, dtype and shape."""
        return fact(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Values) and self.fact == other.fact

    def __hash__(self) -> int:
        return hash(str(self.fact))

    def __str__(self) -> str:
        return f"values({'x'.join(map(str, self.fact['shape']))},{self.fact['sha256'][:8]})"


@dataclass(frozen=True)
class Function:
    """A function of your own: it takes the address and what is there, and returns what shall be.

    Attributes
    ----------
    function : callable
        Of an `Address` and a tensor: the tokens of a layer as (F, N, C), latents as (C, F, H, W), of one sample; what
        it is given is a copy.

    Examples
    --------
    >>> def halved(address, tensor):
    ...     return tensor / 2
    >>> print(Function(halved))
    function(halved)
    """

    function: Callable[[Address, Any], Any]
    kind: Literal["function"] = field(default="function", kw_only=True, repr=False)

    def __str__(self) -> str:
        return f"function({getattr(self.function, '__name__', type(self.function).__name__)})"


_NUMBER = re.compile(r"[+-]?\d+")
Source = Constant | Noise | Stored | File | Values | Function
"""Every kind of source."""


def path_text(path: object) -> str:
    """A path as text, whichever way it was given.

    Examples
    --------
    >>> path_text(Path("runs") / "a.zarr")
    'runs/a.zarr'
    """
    return path.as_posix() if isinstance(path, Path) else str(path)
