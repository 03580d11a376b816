"""A video that the rules cannot read is refused by all scorers alike, in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dit_lens.puzzles import TASKS, BadPuzzle, unseen

CLIP = np.zeros((17, 64, 64, 3), dtype=np.uint8)
BAD: list[tuple[Any, int, str]] = [
    (
        CLIP[0],
        -1,
        "got shape (64, 64, 3), allowed (frames, 64, 64, 3); give all frames of one generation",
    ),
    (
        CLIP[:, ::2, ::2],
        -1,
        "got frames of (32, 32, 3), allowed (64, 64, 3) like the first frame; generate at the size of the picture",
    ),
    (
        np.zeros((17, 64, 64, 4), np.uint8),
        -1,
        "got frames of (64, 64, 4), allowed (64, 64, 3) like the first frame; generate at the size of the picture",
    ),
    (
        CLIP / np.float32(255),
        -1,
        "got float32 from 0 to 1, allowed uint8 from 0 to 255; multiply by 255, round, and convert",
    ),
    (CLIP + 200.0, -1, "got float64, allowed uint8 from 0 to 255; convert the pixels"),
    (CLIP.astype(np.int64), -1, "got int64, allowed uint8 from 0 to 255; convert the pixels"),
    (CLIP[:0], -1, "got no frames, allowed one or more; give the decoded video of one generation"),
    (CLIP, 17, "got frame 17, allowed -17 to 16; choose a frame that it has"),
    (CLIP, -18, "got frame -18, allowed -17 to 16; choose a frame that it has"),
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("video", "frame", "message"), BAD, ids=[message[:24] for _, _, message in BAD])
def test_what_cannot_be_scored_is_refused_in_one_line(task: str, video: Any, frame: int, message: str) -> None:
    with pytest.raises(BadPuzzle) as caught:
        unseen(task, 0).score(video, frame)
    assert str(caught.value) == f"the video cannot be scored; {message}"
