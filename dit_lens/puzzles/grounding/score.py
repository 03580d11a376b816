"""Score a marked scene by rule: one whole outline, round the named object, nothing else painted, all objects kept.

Every pixel is given the nearest colour of the canvas. An outline is looked for at every pixel where a place fits: it is
as whole as its share of painted pixels, times the share of its inside that is left free, so that a black patch is no
outline. Where two are equally whole, the one nearer to the target is read, and the other is paint outside of it; but
who marks several objects has named each of them only in part, so ``target`` is shared among all whole outlines.

Shapes: H height, W width, Y and X upper left corners of places, P pixels of a part of a place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from dit_lens.puzzles.canvas import Classes, Frame, Mask, classify, colour_index
from dit_lens.puzzles.contract import Score
from dit_lens.puzzles.floor import FEW_PIXELS, tinted
from dit_lens.puzzles.grounding.draw import MARK_COLOUR, MARK_WIDTH, OUTLINE, place_mask, thing_mask
from dit_lens.puzzles.grounding.scene import PLACE_PIXELS, Thing
from dit_lens.puzzles.video import check_video

__all__ = ["DO_NOTHING", "WEIGHTS", "score_grounding"]

WEIGHTS: Mapping[str, float] = {"mark": 0.3, "target": 0.4, "only": 0.2, "kept": 0.1}
DO_NOTHING = WEIGHTS["kept"]
"""What a video that repeats its first frame scores overall: all objects are kept."""

_FLOOR, _MARK = colour_index("white"), colour_index(MARK_COLOUR)
_INSIDE: Mask = np.pad(np.ones((PLACE_PIXELS - 2 * MARK_WIDTH,) * 2, dtype=np.bool_), MARK_WIDTH)
_TIE = 0.05  # outlines this close in wholeness are equally whole
_SOME = 0.3  # a little more than one side: what is less whole is no outline, and stands round nothing
_MOST = 0.6  # an outline this whole, with this share of all paint, is an answer
_WHOLE = 0.9  # share from which a mark is whole, alone, and an object kept
_AROUND = 0.8  # share of the outline in an object's place from which it stands round it: one pixel off counts


class _Outline(NamedTuple):
    wholeness: float
    pixels_HW: Mask
    alone: float


def score_grounding(video: Frame, things: Sequence[Thing], target: int, frame: int = -1) -> Score:
    """Score one decoded video of a scene.

    Parameters
    ----------
    video : numpy.ndarray of uint8, shape (F, 64, 64, 3)
        Decoded pixels, 0 to 255.
    things : sequence of Thing
        The objects of the given first frame.
    target : int
        Index of the one to mark.
    frame : int
        Which frame of the video holds the answer.

    Returns
    -------
    Score
        Dimensions: ``mark`` (how whole the best outline is), ``target`` (mean share in the target's place of all
        whole outlines), ``only`` (share of all paint that is in the best one) and ``kept`` (objects that keep their
        pixels, and nothing new in colour on a white floor).

    Raises
    ------
    BadPuzzle
        If it is no video of the canvas, or has no such frame.

    Examples
    --------
    >>> from dit_lens.puzzles.grounding.draw import draw_clip
    >>> things = [Thing("red", "square", (0, 0)), Thing("blue", "square", (16, 16))]
    >>> score = score_grounding(draw_clip(things, (0, 0)), things, target=1)
    >>> score.answer, dict(score.dimensions)
    ('red square', {'mark': 1.0, 'target': 0.0, 'only': 1.0, 'kept': 1.0})
    """
    check_video(video, frame)
    classes_HW = classify(video[frame])
    best, *others = _outlines(classes_HW == _MARK, things[target].place)
    around = [_share(place_mask(thing.place), best.pixels_HW) for thing in things]
    marked = [around[target], *(_share(place_mask(things[target].place), other.pixels_HW) for other in others)]
    kept, untouched = _kept(video[frame], classes_HW, things)
    standing = best.wholeness >= _SOME
    dimensions = {
        "mark": best.wholeness,
        "target": float(np.mean(marked)) if standing else 0.0,
        "only": best.alone if standing else 0.0,
        "kept": kept,
    }
    right = best.wholeness >= _WHOLE and best.alone >= _WHOLE and around[target] >= _AROUND
    return Score.of(dimensions, WEIGHTS, solved=right and untouched, answer=_answer(best, around, things))


def _outlines(paint_HW: Mask, target: tuple[int, int]) -> list[_Outline]:
    """The best outline, and then all others that are whole enough to be an answer, none with a pixel of another."""
    found, left_HW = [_best_outline(paint_HW, target)], paint_HW
    while True:
        left_HW = left_HW & ~found[-1].pixels_HW
        other = _best_outline(left_HW, target)
        if other.wholeness < _MOST:
            return found
        found.append(other)


def _best_outline(paint_HW: Mask, target: tuple[int, int]) -> _Outline:
    """The most whole outline; of several, the one nearest to the target."""
    places_YXhw = sliding_window_view(paint_HW, (PLACE_PIXELS, PLACE_PIXELS))
    painted_YX, filled_YX = (places_YXhw[:, :, part].mean(-1) for part in (OUTLINE, _INSIDE))
    wholeness_YX = painted_YX * (1 - filled_YX)
    y, x = np.indices(wholeness_YX.shape)
    away_YX = np.maximum(abs(y - target[0]), abs(x - target[1])).astype(np.float64)
    away_YX[wholeness_YX < wholeness_YX.max() - _TIE] = np.inf
    top, left = np.unravel_index(away_YX.argmin(), away_YX.shape)
    pixels_HW = np.zeros_like(paint_HW)
    pixels_HW[top : top + PLACE_PIXELS, left : left + PLACE_PIXELS] = OUTLINE
    pixels_HW &= paint_HW
    return _Outline(float(wholeness_YX.max()), pixels_HW, _share(pixels_HW, paint_HW))


def _kept(frame_HW3: Frame, classes_HW: Classes, things: Sequence[Thing]) -> tuple[float, bool]:
    """The share of all pixels that have or had a colour and still have an object's, and whether each object stands."""
    masks_THW = np.stack([thing_mask(thing) for thing in things])
    colours_T: npt.NDArray[np.intp] = np.array([colour_index(thing.colour) for thing in things])
    same_THW = masks_THW & (classes_HW == colours_T[:, None, None])
    objects_HW = masks_THW.any(0)
    new_HW = (classes_HW != _FLOOR) & (classes_HW != _MARK) & ~objects_HW
    new_HW |= tinted(frame_HW3, classes_HW == _FLOOR)
    kept = float(same_THW.sum() / (objects_HW | new_HW).sum())
    shares_T = same_THW.sum((1, 2)) / masks_THW.sum((1, 2))
    return kept, bool(shares_T.min() >= _WHOLE and new_HW.sum() <= FEW_PIXELS)


def _answer(outline: _Outline, around: Sequence[float], things: Sequence[Thing]) -> str | None:
    best = int(np.argmax(around))
    clear = outline.wholeness >= _MOST and outline.alone >= _MOST and around[best] >= _AROUND
    return things[best].name if clear else None


def _share(part_HW: Mask, whole_HW: Mask) -> float:
    """The share of a mask that lies in another one; 0 of nothing."""
    return float((part_HW & whole_HW).sum() / max(int(whole_HW.sum()), 1))
