"""What the clean latents of a trace show once decoded: pictures, answers, candidates, and a mixture of two ends.

Every x0 is decoded once; of the picture a small copy is kept, and the whole one is given to the scorer of the puzzle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from dit_lens.errors import BadPuzzle, BadRequest
from dit_lens.puzzles import Puzzle
from dit_lens.video_frames import smaller
from dit_lens_probes.trajectory.candidates import Seen, clips, count_visible, look
from dit_lens_probes.trajectory.decoding import Decodes, MissingDecoder
from dit_lens_probes.trajectory.films import kept_frames
from dit_lens_probes.trajectory.params import TrajectoryParams
from dit_lens_probes.trajectory.readings import Reading, commitment, dropped, first_readable
from dit_lens_probes.trajectory.superposition import Superposition, superposition

if TYPE_CHECKING:
    import torch

__all__ = ["FILL", "Shown", "read_measures", "show"]

Video = npt.NDArray[np.uint8]
FILL: Mapping[Any, Any] = MappingProxyType({"answer": "", "dropped_answer": "", "film": np.uint8(0)})
"""What stands where a trace or branch has nothing; NaN in all other variables."""
_FILM = ("step", "video_frame", "video_y", "video_x", "rgb")


@dataclass(frozen=True)
class Shown:
    """By branch a dataset of what its x0 show; and what holds for the whole trace."""

    branches: Mapping[str, xr.Dataset]
    shared: xr.Dataset


@dataclass
class _Film:
    """What is kept of the videos of one branch."""

    pictures: list[Video] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    last: Video | None = None


def show(
    chunk: xr.Dataset,
    paths: Mapping[str, xr.DataArray],
    params: TrajectoryParams,
    decoder: Decodes,
    asked: tuple[Puzzle | None, str],
) -> Shown:
    """Decode every x0, and read it.

    Parameters
    ----------
    chunk : xarray.Dataset
        For its manifest, and the video if that is the final answer.
    paths : mapping of str to xarray.DataArray
        See ``measure.paths_of``.
    params : TrajectoryParams
    decoder : Decodes
    asked : tuple
        The puzzle, if there is one, and otherwise the reason.

    Returns
    -------
    Shown

    Raises
    ------
    MissingDecoder
        If the trace does not hold whole latents, or they are not those of the decoder.
    """
    trace_id, (puzzle, reason) = str(chunk.attrs["trace_id"]), asked
    _refuse_parts(trace_id, chunk.attrs["manifest"], paths)
    films: dict[str, _Film] = {}
    for name, path in paths.items():
        films[name], puzzle, reason = _film(trace_id, path, params, decoder, puzzle, reason)
    final_video = _final_video(chunk, params, films)
    final = look(puzzle, final_video) if puzzle is not None else None
    ends = _ends(puzzle, final, decoder)
    branches = {
        name: xr.merge([_pictures(film, path, params), _read(film, path, params, final, ends)], join="exact")
        for (name, path), film in zip(paths.items(), films.values(), strict=True)
    }
    return Shown(branches, _shared(final, puzzle, reason, list(ends)))


def read_measures(
    seen: Sequence[Seen], final: Reading | None, steps: Sequence[int], least: float
) -> dict[str, tuple[tuple[str, ...], Any]]:
    """What follows from the readings of one branch.

    Parameters
    ----------
    seen : sequence of Seen
        One for each step; empty without a scorer.
    final : Reading or None
    steps : sequence of int
        Labels of the steps.
    least : float
        See ``candidates.count_visible``.

    Returns
    -------
    dict
        Variables over ``step``, and ``first_step`` and ``commitment_step``; NaN and empty without a scorer.

    Examples
    --------
    >>> seen = [Seen(Reading("a", True), 1.0), Seen(Reading("b", True), 1.0)]
    >>> found = read_measures(seen, Reading("b", True), [0, 7], 0.2)
    >>> found["commitment_step"][1], found["dropped_answer"][1].tolist()
    (7.0, ['', 'a'])
    """
    readings = [one.reading for one in seen]
    gone = np.full(len(steps), "", dtype=object)
    since = np.full(len(steps), np.nan)
    for drop in dropped(readings, final) if final is not None else []:
        gone[drop.gone], since[drop.gone] = drop.answer, steps[drop.since]
    absent = [np.nan] * len(steps)
    return {
        "answer": (("step",), np.array([r.answer or "" for r in readings] or [""] * len(steps), dtype=object)),
        "solved": (("step",), [float(r.solved) for r in readings] or absent),
        "score": (("step",), [one.score for one in seen] or absent),
        "candidates_visible": (("step",), [count_visible(one.visible, least) for one in seen] or absent),
        "dropped_answer": (("step",), gone),
        "dropped_since": (("step",), since),
        "first_step": ((), _label(first_readable(readings, final) if final else None, steps)),
        "commitment_step": ((), _label(commitment(readings, final) if final else None, steps)),
    }


def _label(place: int | None, steps: Sequence[int]) -> float:
    return float("nan") if place is None else float(steps[place])


def _film(
    trace_id: str, path: xr.DataArray, params: TrajectoryParams, decoder: Decodes, puzzle: Puzzle | None, reason: str
) -> tuple[_Film, Puzzle | None, str]:
    """Of one branch; a video that the rules cannot read ends the scoring of its trace."""
    film = _Film()
    for step in path["step"].values:
        video = _decode(trace_id, path.sel(step=step).values, decoder)
        kept = kept_frames(path.sizes["frame"], len(video), params.frames)
        film.pictures.append(smaller(video[kept], params.picture))
        film.last = video
        try:
            film.seen += [look(puzzle, video)] if puzzle is not None else []
        except BadPuzzle as error:
            film.seen, puzzle, reason = [], None, str(error)
    return film, puzzle, reason


def _decode(trace_id: str, x_CFHW: npt.NDArray[np.float32], decoder: Decodes) -> Video:
    import torch

    try:
        return np.asarray(decoder.decode(torch.from_numpy(np.array(x_CFHW, dtype=np.float32))))
    except RuntimeError as error:  # what torch raises for tensors of another shape
        raise MissingDecoder(
            f"trace '{trace_id}' cannot be decoded by this decoder; got latents of shape {x_CFHW.shape} "
            f"({str(error).splitlines()[0][:120]}), allowed those of its own model; name another as model, or set "
            f"decode=false"
        ) from error


def _refuse_parts(trace_id: str, manifest: Mapping[str, Any], paths: Mapping[str, xr.DataArray]) -> None:
    for path in paths.values():
        frames = path["frame"].values.tolist()
        wanted = max(len(frames), int((manifest.get("tokens") or [0])[0]))
        if frames != list(range(wanted)):
            held = ", ".join(map(str, frames))
            raise MissingDecoder(
                f"trace '{trace_id}' cannot be decoded: it holds some frames of x0 only; got frame {held}, allowed all "
                f"{wanted}; trace again without the selection, or set decode=false"
            )


def _final_video(chunk: xr.Dataset, params: TrajectoryParams, films: Mapping[str, _Film]) -> Video:
    if params.final == "video":
        return np.asarray(chunk["video"].transpose("video_frame", "video_y", "video_x", "rgb").values)
    last = next(iter(films.values())).last
    assert last is not None
    return last


def _ends(puzzle: Puzzle | None, final: Seen | None, decoder: Decodes) -> dict[str, npt.NDArray[np.float32]]:
    """Latents of the clips of two candidates, where they are known and can be encoded."""
    encode = getattr(decoder, "encode", None)
    if puzzle is None or encode is None:
        return {}
    try:
        return {
            name: _numpy(encode(clip)) for name, clip in clips(puzzle, final.reading.answer if final else None).items()
        }
    except BadRequest:
        return {}


def _numpy(latent: torch.Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(latent.float().numpy())


def _pictures(film: _Film, path: xr.DataArray, params: TrajectoryParams) -> xr.Dataset:
    pictures = np.stack(film.pictures)
    assert film.last is not None
    coords = {
        "step": path["step"].values,
        "video_frame": kept_frames(path.sizes["frame"], len(film.last), params.frames),
        "video_y": np.arange(pictures.shape[2]),
        "video_x": np.arange(pictures.shape[3]),
    }
    attrs = {"long_name": "decoded x0", "side": params.picture}
    return xr.Dataset({"film": (_FILM, pictures, attrs)}, coords=coords)


def _read(
    film: _Film, path: xr.DataArray, params: TrajectoryParams, final: Seen | None, ends: Mapping[str, Any]
) -> xr.Dataset:
    steps = [int(step) for step in path["step"].values]
    variables = read_measures(film.seen if final else [], final.reading if final else None, steps, params.visible)
    mixed = [_mixture(x_CFHW, list(ends.values())) for x_CFHW in path.values]
    for name in Superposition._fields:
        variables[name] = (("step",), [getattr(one, name) for one in mixed])
    names = list(film.seen[0].visible) if final and film.seen else []
    shares = np.array([[one.visible[name] for name in names] for one in film.seen]) if names else np.zeros((0, 0))
    variables["visible"] = (("step", "candidate"), shares.reshape(len(steps), len(names)))
    coords = {"step": steps, "candidate": np.array(names, dtype=object)}
    return xr.Dataset(variables, coords=coords)


def _mixture(x_CFHW: npt.NDArray[np.float32], ends: Sequence[npt.NDArray[np.float32]]) -> Superposition:
    if len(ends) < 2 or ends[0].shape != x_CFHW.shape:
        return Superposition(float("nan"), float("nan"), float("nan"))
    return superposition(x_CFHW, ends[0], ends[1])


def _shared(final: Seen | None, puzzle: Puzzle | None, reason: str, ends: Sequence[str]) -> xr.Dataset:
    one, other = ends if len(ends) == 2 else ("", "")
    texts = {
        "task": puzzle.task if final and puzzle else "",
        "final_answer": (final.reading.answer or "") if final else "",
        "no_scorer": "" if final else reason,
        "end_a": one,
        "end_b": other,
    }
    numbers = {
        "final_solved": float(final.reading.solved) if final else float("nan"),
        "final_score": final.score if final else float("nan"),
    }
    return xr.Dataset({**{name: ((), np.array(text, dtype=object)) for name, text in texts.items()}, **numbers})
