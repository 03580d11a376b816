"""The one gate to all scorers: a video that the rules cannot read is refused, in one line that says what to do.

A rule compares bytes. Numbers from 0 to 1 would all read as black, and a frame that is not there as some other fault.
"""

from __future__ import annotations

import numpy as np

from dit_lens.puzzles.canvas import PICTURE_PIXELS, Frame
from dit_lens.puzzles.errors import BadPuzzle

__all__ = ["check_video"]

_PICTURE = (PICTURE_PIXELS, PICTURE_PIXELS, 3)


def check_video(video: Frame, frame: int = -1) -> None:
    """Refuse what is no video of the canvas, uint8 (F, 64, 64, 3), or has no such frame.

    Raises
    ------
    BadPuzzle
        For another shape or dtype, for a video without frames, and for a frame that it does not have.

    Examples
    --------
    >>> check_video(np.zeros((17, 64, 64, 3), dtype=np.uint8), frame=16)
    >>> try:
    ...     check_video(np.zeros((17, 64, 64, 3), dtype=np.uint8), frame=17)
    ... except BadPuzzle as error:
    ...     print(error)
    the video cannot be scored; got frame 17, allowed -17 to 16; choose a frame that it has
    """
    if video.ndim != 4:
        _refuse(f"shape {video.shape}", f"(frames, {str(_PICTURE)[1:]}", "give all frames of one generation")
    if video.shape[1:] != _PICTURE:
        allowed = f"{_PICTURE} like the first frame"
        _refuse(f"frames of {video.shape[1:]}", allowed, "generate at the size of the picture")
    if video.dtype != np.uint8:
        unit = np.issubdtype(video.dtype, np.floating) and video.size > 0 and 0 <= video.min() <= video.max() <= 1
        what = f"{video.dtype} from 0 to 1" if unit else str(video.dtype)
        _refuse(what, "uint8 from 0 to 255", "multiply by 255, round, and convert" if unit else "convert the pixels")
    count = len(video)
    if not count:
        _refuse("no frames", "one or more", "give the decoded video of one generation")
    if not -count <= frame < count:
        _refuse(f"frame {frame}", f"{-count} to {count - 1}", "choose a frame that it has")


def _refuse(got: str, allowed: str, remedy: str) -> None:
    raise BadPuzzle(f"the video cannot be scored; got {got}, allowed {allowed}; {remedy}")
