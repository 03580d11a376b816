"""A region of any form, as data: which tokens of which frames, packed into one line of JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dit_lens.engine.errors import BadEdit

__all__ = ["Mask"]


@dataclass(frozen=True)
class Mask:
    """Which places of a grid are edited.

    Attributes
    ----------
    shape : tuple of int
        Frames, rows and columns: of tokens, or of the latent where latents are edited.
    bits : str
        One bit for each place, frame after frame and row after row, as hexadecimal digits.

    Examples
    --------
    >>> import numpy as np
    >>> mask = Mask.of(np.eye(3)[None] > 0)
    >>> mask
    Mask(shape=(1, 3, 3), bits='8880')
    >>> int(mask.array.sum())
    3
    """

    shape: tuple[int, int, int]
    bits: str

    @classmethod
    def of(cls, places: npt.ArrayLike) -> Mask:
        """Make one of an array of true and false, of frames, rows and columns.

        Raises
        ------
        BadEdit
            If it is none.
        """
        array = np.asarray(places)
        if array.dtype != bool or array.ndim != 3:
            raise BadEdit(
                f"the mask of an edit is none; got {array.dtype} of shape {array.shape}, allowed true and false over "
                f"frames, rows and columns; write mask > 0"
            )
        return cls((array.shape[0], array.shape[1], array.shape[2]), np.packbits(array).tobytes().hex())

    @property
    def array(self) -> npt.NDArray[np.bool_]:
        """True where it is edited."""
        size = int(np.prod(self.shape))
        packed = np.frombuffer(bytes.fromhex(self.bits), dtype=np.uint8)
        places: npt.NDArray[np.bool_] = np.unpackbits(packed)[:size].astype(bool).reshape(self.shape)
        return places

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        size: Any = int(np.prod(self.shape))
        if len(self.bits) != 2 * -(-size // 8):
            raise BadEdit(
                f"the mask of an edit does not fit its shape; got {len(self.bits)} digits, allowed {2 * -(-size // 8)} "
                f"for {' x '.join(map(str, self.shape))} places; write Mask.of(array)"
            )
