"""Several requests in one call of the pipeline: what they share, and where each brings its own.

Prompts and seeds may differ from row to row; everything else is one argument of the call and must agree. A row of a
batch is not bit-equal to the same request run alone, because matrix products of another shape round differently: the
manifest of its trace says that it ran in a batch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dit_lens.adapters.family import Family
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size
from dit_lens.manifest import request_manifest

__all__ = ["Batch", "rows_of"]

_OF_ROW = ("prompt", "negative_prompt", "seed")
_FURTHER_PROMPT = re.compile(r"(negative_)?prompt_[0-9]")
_COPIES = ("num_videos_per_prompt", "num_images_per_prompt")


@dataclass(frozen=True)
class Batch:
    """Requests that run together, at one size.

    Attributes
    ----------
    requests : tuple of Generation
    size : Size

    Raises
    ------
    BadRequest
        If they differ in more than prompts and seed, or there is none.

    Examples
    --------
    >>> one = Generation(prompt="Draw the path.", seed=0, steps=4)
    >>> len(Batch((one, Generation(prompt="Draw the path.", seed=1, steps=4)), Size(64, 64, 17)))
    2
    """

    requests: tuple[Generation, ...]
    size: Size

    def __post_init__(self) -> None:
        if not self.requests:
            raise BadRequest("the batch is empty; got no request, allowed one or more; add one")
        first = self._shared(self.requests[0])
        for row, request in enumerate(self.requests):
            different = [name for name, value in self._shared(request).items() if value != first[name]]
            if different:
                raise BadRequest(
                    f"requests of one batch differ in more than prompt, negative prompt and seed; got row {row} with "
                    f"another {different[0]}, allowed that of row 0; run it in a batch of its own"
                )

    def __len__(self) -> int:
        return len(self.requests)

    def arguments(self, pipeline: Any, family: Family) -> dict[str, Any]:
        """Keyword arguments of the pipeline's call, the generators included."""
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in self.requests]
        shared = dict(family.arguments(family, pipeline, self.requests[0], self.size))
        if len(self) == 1:
            return {**shared, "generator": generators[0]}
        self._refuse_noise(shared)
        for name in ("image", "video") if family.image_per_row else ():
            if shared.get(name) is not None:
                shared[name] = [shared[name]] * len(self)
        return {**shared, **self._rows(pipeline, family, shared), "generator": generators}

    def _refuse_noise(self, shared: dict[str, Any]) -> None:
        given = [name for name in ("latents", "audio_latents") if shared.get(name) is not None]
        if given:
            raise BadRequest(
                f"noise that is given is that of one sample; got {given[0]} with a batch of {len(self)}, allowed a "
                f"batch of 1; leave it out, or trace the requests one by one"
            )

    def _rows(self, pipeline: Any, family: Family, shared: dict[str, Any]) -> dict[str, Any]:
        """Prompts as lists; of one prompt that is given as embeddings, the pipeline makes copies.

        Lists come first, because some pipelines (CogVideoX, Allegro) take an argument for copies and ignore it.
        """
        if shared.get("prompt") is None:
            return {self._copies(pipeline, family): len(self)}
        embeddings = [name for name, value in shared.items() if "prompt_embeds" in name and value is not None]
        if embeddings:
            raise BadRequest(
                f"embeddings beside prompts in words are those of one prompt; got {embeddings[0]} with a batch of "
                f"{len(self)}, allowed a batch of 1; give all prompts as words, or trace the requests one by one"
            )
        lists = {
            "prompt": [request.prompt for request in self.requests],
            "negative_prompt": [request.negative_prompt for request in self.requests],
        }
        further = {name: [text] * len(self) for name, text in shared.items() if _is_further_prompt(name, text)}
        return {**{name: rows for name, rows in lists.items() if name in shared}, **further}

    def _copies(self, pipeline: Any, family: Family) -> str:
        """The argument for copies of one prompt that is given as embeddings."""
        words = {(request.prompt, request.negative_prompt) for request in self.requests}
        names = inspect.signature(type(pipeline).__call__).parameters
        copies = next((name for name in _COPIES if name in names), None)
        if not family.copies_embeddings:
            raise BadRequest(
                f"{type(pipeline).__name__} makes no copies of embeddings; got them with a batch of {len(self)}, "
                f"allowed a batch of 1; give prompts as words, or trace the requests one by one"
            )
        if len(words) > 1 or copies is None:
            raise BadRequest(
                f"embeddings of one prompt cannot serve a batch of several; got {len(words)} prompts beside them, "
                f"allowed 1, and a pipeline that makes copies of it; give prompts as words, or trace them one by one"
            )
        return copies

    def _shared(self, request: Generation) -> dict[str, Any]:
        """What all rows must agree in; pictures and tensors by their hash."""
        facts = request_manifest(request, self.size)
        return {name: value for name, value in facts.items() if name not in _OF_ROW}


def _is_further_prompt(name: str, value: object) -> bool:
    """A text for the second or third text encoder, of which there must be as many as there are prompts."""
    return isinstance(value, str) and _FURTHER_PROMPT.fullmatch(name) is not None


def rows_of(only: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The rows of a batch that are recorded: all, unless some are named.

    Raises
    ------
    BadRequest

    Examples
    --------
    >>> rows_of(None, 3), rows_of([2], 3)
    ((0, 1, 2), (2,))
    """
    rows = tuple(range(count)) if only is None else tuple(only)
    if not rows or len(set(rows)) != len(rows) or not set(rows) <= set(range(count)):
        raise BadRequest(
            f"the batch has no such rows to record; got {', '.join(map(str, rows)) or 'none'}, allowed 0 to "
            f"{count - 1}, each once; name rows of the batch"
        )
    return rows
