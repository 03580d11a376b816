"""A lens: a stock diffusers pipeline with the means to look inside one generation.

``generate`` runs it plain, ``trace`` runs it with captures and writes what they ask for to a store while the model
runs. Between the two calls the pipeline is untouched: everything that a trace attaches is gone when it ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dit_lens.adapters import Family, family_of
from dit_lens.captures import Capture, Resolved, read_captures
from dit_lens.engine.arrays import array_specs, coordinates
from dit_lens.engine.errors import BadRequest
from dit_lens.engine.layout import Layout
from dit_lens.engine.plan import check_pipeline, check_request, plan_layout, plan_size
from dit_lens.engine.run import decode, run_plain, run_traced
from dit_lens.engine.solver import is_flow
from dit_lens.generation import Generation, Result, Size
from dit_lens.manifest import request_manifest, run_manifest
from dit_lens.weights import Weights
from dit_lens_stores import Store, check_trace_id, create_store

__all__ = ["Generation", "Lens", "Origin", "Result"]


@dataclass(frozen=True)
class Origin:
    """Where a pipeline came from, as far as it is known.

    Attributes
    ----------
    model : str
        Name, Hub id or folder name; never a path.
    folder : pathlib.Path or None
        Local folder that the weights have just been loaded from.
    licence : str or None
    size : Size or None
        The size that the model was made for.
    revision : str or None
        Commit of the repository on the Hub.
    """

    model: str
    folder: Path | None = None
    licence: str | None = None
    size: Size | None = None
    revision: str | None = None


class Lens:
    """Look into a pipeline.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
        Any pipeline that an adapter knows.
    origin : Origin, optional
        Given by ``dit_lens.load``.

    Raises
    ------
    UnknownModel
        If no adapter knows the pipeline.

    Examples
    --------
    >>> import dit_lens
    >>> lens = dit_lens.load("tiny-wan")  # doctest: +SKIP
    >>> request = dit_lens.Generation(prompt="Draw the path.", image=first_frame, seed=0, steps=20)  # doctest: +SKIP
    >>> lens.trace(request, ["block.out:energy", "x0.guided"], "maze.zarr").trace_id  # doctest: +SKIP
    'seed0-2f6e0c1a'
    """

    def __init__(self, pipeline: Any, origin: Origin | None = None) -> None:
        self.family: Family = family_of(pipeline)
        self.pipeline = pipeline
        self.origin = origin or Origin(_name_of(pipeline))
        self._weights = Weights(pipeline, self.origin.folder)

    def generate(self, request: Generation, *, decode: bool = True) -> Result:
        """Run plain, with nothing attached: the control of a trace.

        Parameters
        ----------
        request : Generation
        decode : bool
            Whether to decode the latents to a video.

        Returns
        -------
        Result

        Raises
        ------
        BadRequest
            If the model cannot run it.
        """
        size = self.check(request)
        latents, video, seconds = run_plain(self.pipeline, self.family, request, size, decode)
        return Result(latents, video, None, None, seconds)

    def trace(
        self,
        request: Generation,
        captures: Iterable[Capture | str],
        out: str | Path | Store,
        *,
        trace_id: str | None = None,
        on_step: Callable[[int, int], None] | None = None,
        decode: bool = True,
    ) -> Result:
        """Run and record; everything is checked before anything is written.

        Parameters
        ----------
        request : Generation
        captures : iterable of Capture or str
        out : str, pathlib.Path or Store
            A new path, or a store to add to.
        trace_id : str, optional
            By default the seed and a hash of the request.
        on_step : callable, optional
            Called after every step with (steps done, steps).
        decode : bool
            Whether to decode the latents, and store the video.

        Returns
        -------
        Result

        Raises
        ------
        UnknownCapture, BadSelection, BadRequest, Untraceable
            Before anything is written.
        IncompleteTrace
            If an expected address was not recorded, or one came twice; the trace is marked failed in the store.
        """
        size, layout, resolved = self.plan(request, captures)
        trace_id = check_trace_id(trace_id or self.default_trace_id(request))
        arrays = array_specs(resolved, layout, decode)
        manifest = {
            **self.identity,
            **run_manifest(self.pipeline, self.family, request, size, layout, resolved),
        }
        store = out if isinstance(out, Store) else create_store(out)
        writer = store.begin(trace_id, arrays, coordinates(layout, arrays), manifest)
        latents, video, seconds = run_traced(
            self.pipeline, self.family, request, size, layout, resolved, writer, on_step
        )
        return Result(latents, video, trace_id, store.path, seconds)

    def plan(self, request: Generation, captures: Iterable[Capture | str]) -> tuple[Size, Layout, tuple[Resolved, ...]]:
        """Check a trace without running it: the size, the layout of the run, and what every capture selects.

        Raises
        ------
        UnknownCapture, BadSelection, BadRequest, Untraceable
        """
        read = read_captures(captures)
        check_pipeline(self.pipeline, self.family)
        size = self.check(request)
        self._check_sites(read)
        layout = plan_layout(self.pipeline, self.family, request, size)
        return size, layout, tuple(capture.resolve(layout) for capture in read)

    def check(self, request: Generation) -> Size:
        """Check a request without running it, and give the size that it would run at.

        Raises
        ------
        BadRequest
        """
        check_request(request)
        size = plan_size(request, self.origin.size, self.family)
        self.family.check(self.pipeline, request, size)
        return size

    def decode(self, latents: torch.Tensor) -> npt.NDArray[np.uint8]:
        """Decode latents to pixels, as the pipeline itself would.

        Parameters
        ----------
        latents : torch.Tensor
            Shape (1, C, F, H, W) or (C, F, H, W).

        Returns
        -------
        numpy.ndarray of uint8, shape (F, H, W, 3)
        """
        return decode(self.pipeline, self.family, latents if latents.ndim == 5 else latents[None])

    def default_trace_id(self, request: Generation) -> str:
        """The id of a trace that was given none: the same for the same request."""
        facts = json.dumps(request_manifest(request, self.check(request)), sort_keys=True)
        return f"seed{request.seed}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"

    @property
    def identity(self) -> dict[str, Any]:
        """The model's part of the manifest: name, revision, licence, and sha256 of the weights that it holds now."""
        return {
            "model": self.origin.model,
            "revision": self.origin.revision,
            "licence": self.origin.licence,
            **self._weights.identity(),
        }

    def _check_sites(self, captures: Iterable[Capture]) -> None:
        for capture in captures:
            if capture.site.startswith("x0") and not is_flow(self.pipeline.scheduler):
                raise BadRequest(
                    f"capture '{capture}' needs a flow-matching scheduler; got "
                    f"{type(self.pipeline.scheduler).__name__}, "
                    "allowed FlowMatch schedulers or prediction_type='flow_prediction'; leave x0 out"
                )

    def __repr__(self) -> str:
        experts = ", ".join(self.family.denoisers(self.pipeline))
        return f"Lens({self.origin.model!r}, family {self.family.name!r}, experts {experts})"


def _name_of(pipeline: Any) -> str:
    """The Hub id or the folder's own name, if the pipeline was loaded from one; otherwise its class."""
    name = str(pipeline.config.get("_name_or_path") or type(pipeline).__name__)
    return Path(name).name if Path(name).is_absolute() or name.startswith(".") else name
