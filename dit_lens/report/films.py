"""Pictures of a result: films over the steps, and frames to lay maps over.

A film is a variable of pictures along steps, as the trajectory probe decodes them. Its pictures are those of the latent
frames: of a film of all video frames, the last one of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from dit_lens.report.axes import label_texts, labels_of
from dit_lens.report.fitting import spread
from dit_lens.report.frames import Frames, Pictures
from dit_lens.report.quantise import Blobs
from dit_lens.report.sorting import Sorted, each_trace, only_trace, title_of
from dit_lens.report.sprites import as_images, notes_on_size
from dit_lens.video_frames import last_video_frames

__all__ = ["Film", "build_films", "find_films", "frames_of_film", "frames_of_result"]

_SIDE = 96
_MOST = 24  # films of one variable and trace: more are no choice any more
_PICTURE = ("video_y", "video_x", "rgb")


class Film:
    """The pictures of one trace and branch, not read yet.

    Attributes
    ----------
    trace, branch, title, result : str
    steps : list of int
        Those that hold pictures.
    frames : list of int
        Labels of latent frames.
    """

    def __init__(self, found: Sorted, trace: str, branch: str, words: str, values: xr.DataArray) -> None:
        self.trace, self.branch, self.result = trace, branch, found.source.name
        self.title = ", ".join(filter(None, (title_of(values), words)))
        self._frame = "video_frame" if "video_frame" in values.dims else "frame"
        values = values if self._frame in values.dims else values.expand_dims(frame=[0])
        self._values = values.transpose("step", self._frame, *_PICTURE)
        self._places = _latent_places(found.source.data, self._values.sizes[self._frame])
        own = self._frame == "frame" and "frame" in values.coords
        self.frames = labels_of(self._values, "frame") if own else list(range(len(self._places)))
        self._shown = [at for at in range(self._values.sizes["step"]) if self._values.isel(step=at).values.any()]
        self.steps = [labels_of(self._values, "step")[at] for at in self._shown]

    def pictures(self, step: int) -> Pictures:
        """Of one step, (frame, height, width, 3)."""
        at = self._shown[self.steps.index(step)]
        return np.asarray(self._values.isel({"step": at, self._frame: self._places}).values)


def find_films(found: Sequence[Sorted]) -> list[Film]:
    """All films of results; one without a picture is none."""
    films: list[Film] = []
    for one in found:
        for name in one.films:
            own: dict[str, list[Film]] = {}
            for film in _films_of(one, one.source.data[name]):
                if film.steps:
                    own.setdefault(film.trace, []).append(film)
            films += [film for listed in own.values() for film in listed[:_MOST]]
            if over := sum(max(len(listed) - _MOST, 0) for listed in own.values()):
                one.left[name] = f"{over} of {sum(map(len, own.values()))} films"
    return films


def _films_of(found: Sorted, variable: xr.DataArray) -> Iterator[Film]:
    """One for each trace and branch, and for each label of whatever else there is to choose."""
    for trace, values in each_trace(found.source, variable):
        further = [str(dim) for dim in values.dims if dim not in ("step", "video_frame", "frame", *_PICTURE)]
        texts = {dim: label_texts(values, dim) for dim in further}
        for at in product(*(range(values.sizes[dim]) for dim in further)):
            places = dict(zip(further, at, strict=True))
            branch = str(labels_of(values, "branch")[places["branch"]]) if "branch" in places else ""
            words = ", ".join(texts[dim][place] for dim, place in places.items() if dim != "branch")
            own = trace or only_trace(found.source, variable)
            yield Film(found, own, branch, words, values.isel(places))


def build_films(films: Sequence[Film], budget: float, blobs: Blobs) -> tuple[list[dict[str, Any]], list[str]]:
    """Write films to sheets, with fewer steps where they would take more than the budget.

    Parameters
    ----------
    films : sequence of Film
    budget : float
        Bytes for all of them.
    blobs : Blobs

    Returns
    -------
    tuple of list
        The films, and notes on them.
    """
    made, notes, sizes = [], [], {}
    for film in films:
        what = ", ".join(filter(None, (f"Film of {film.trace}", film.branch, film.title)))
        trial = Blobs()
        entry, exact = _written(film, film.steps, trial)
        if trial.size > budget / len(films):
            most = max(2, int(len(film.steps) * budget / len(films) / trial.size))
            steps = [film.steps[at] for at in spread(len(film.steps), most)]
            trial = Blobs()
            entry, exact = _written(film, steps, trial)
            notes.append(f"{what}: {len(steps)} of {len(film.steps)} steps are kept.")
        entry["images"]["blob"] = blobs.add(trial.items[0])
        made.append(entry)
        if not exact:
            notes.append(f"{what}: pictures are compressed with losses.")
        sizes[f"Pictures of {what[0].lower()}{what[1:]}"] = (film.pictures(film.steps[0])[0], entry["images"])
    return made, [*notes_on_size(sizes), *notes]


def frames_of_film(films: Sequence[Film], trace: str) -> Frames | None:
    """The last step of the first film of a trace."""
    film = next((film for film in films if film.trace == trace), None)
    if film is None:
        return None
    last = film.steps[-1]
    words = ", ".join(filter(None, (film.title, film.branch)))
    return Frames(film.pictures(last), film.frames, f"{words}, of step {last}")


def frames_of_result(found: Sequence[Sorted], trace: str) -> Frames | None:
    """Frames that a result holds of a trace itself."""
    for one in found:
        for name in one.frames:
            variable = one.source.data[name]
            for own, values in each_trace(one.source, variable):
                if (
                    (own or only_trace(one.source, variable)) == trace
                    and set(values.dims) == {"frame", *_PICTURE}
                    and values.values.any()
                ):
                    pictures = np.asarray(values.transpose("frame", *_PICTURE).values)
                    return Frames(pictures, labels_of(values, "frame"), title_of(values))
    return None


def _written(film: Film, steps: Sequence[int], blobs: Blobs) -> tuple[dict[str, Any], bool]:
    images, exact = as_images([one for step in steps for one in film.pictures(step)], blobs, _SIDE)
    head = {"trace": film.trace, "branch": film.branch, "title": film.title, "steps": list(steps)}
    return {**head, "frames": film.frames, "images": images}, exact


def _latent_places(data: xr.Dataset, held: int) -> list[int]:
    """Of the pictures of a step, one for each latent frame; all where nothing tells that there are more."""
    latent = data.sizes.get("frame", held)
    if latent >= held:
        return list(range(held))
    return [int(place) for place in last_video_frames(np.arange(latent), latent, held)]
