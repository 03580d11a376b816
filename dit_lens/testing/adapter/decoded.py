"""Whether the family unpacks and decodes latents as the pipeline does, seen at the door of the autoencoder and behind.

A pipeline that packs rows and columns into a sequence has no place in front of the denoiser where they are told apart,
so that moving latents there shows only what the family itself says. But it unpacks them for its autoencoder: what that
is handed must be the last latents as the family reads them, up to a factor and an offset a channel. Where the family
decodes, the run goes on, and what the pipeline shows in the end must be what the family makes of the final latents:
any difference would be in every video of a store.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange

from dit_lens.engine.run import _eager, _quiet
from dit_lens.engine.scheduler import StepCall, observed_scheduler
from dit_lens.engine.seeding import seeded
from dit_lens.testing.adapter.attach import Enough
from dit_lens.testing.adapter.report import Broken, Moot
from dit_lens.testing.adapter.runs import Runs
from dit_lens.testing.adapter.subject import Subject

__all__ = ["Decoding"]

_ALIKE = 0.9  # cosine; some pipelines add a little noise before they decode
_ALIKE_PIXELS = 1e-4  # of pixels in [0, 1], in full precision: a GPU may add in another order


class Decoding:
    """One run of the pipeline to its pixels, or to the door of the autoencoder where the family cannot decode.

    Parameters
    ----------
    runs : Runs
    """

    def __init__(self, runs: Runs) -> None:
        self._runs, self._subject = runs, runs.subject
        self._lasts: list[torch.Tensor] = []
        self._handed: list[torch.Tensor] = []
        self._shown: Any = None
        self._error: Exception | None = None

    def latents(self) -> str:
        """The autoencoder is handed the last latents as the family reads them."""
        if not callable(getattr(getattr(self._subject.pipeline, "vae", None), "decode", None)):
            raise Moot("the pipeline has no autoencoder: how latents are packed is taken on trust")
        self._run()
        if not (self._lasts and self._handed):
            raise self._error or Moot("the pipeline decodes by another way")
        handed = self._handed[0]
        return _compared(self._subject, self._lasts[-1], handed if handed.ndim == 5 else handed[:, :, None])

    def pixels(self) -> str:
        """What the pipeline shows is what the family makes of its final latents."""
        subject = self._subject
        if subject.family.decode is None:
            raise Moot(f"family {subject.family.name} does not decode")
        self._run()
        if self._shown is None:
            raise self._error or Moot("the pipeline shows no pixels")
        leading = subject.family.leading_frames(subject.pipeline, subject.request)
        with torch.no_grad():
            ours_FHWC = np.asarray(subject.family.decode(subject.pipeline, self._runs.plain[:, :, leading:]))
        subject.pipeline.maybe_free_model_hooks()
        return _same_pixels(ours_FHWC, np.asarray(self._shown), _tolerance(subject.pipeline))

    def _run(self) -> None:
        """Run once; what the autoencoder raises is told by whoever needs the pixels."""
        if self._lasts or self._error:
            return
        subject, pipeline = self._subject, self._subject.pipeline
        arguments = subject.batch.arguments(pipeline, subject.family)
        further = subject.family.decode is not None
        alone = seeded(subject.request.seed, pipeline._execution_device)
        with self._watched(), _intercepted(pipeline, self._handed, further), _eager(), _quiet(pipeline), alone:
            try:
                self._shown = pipeline(**arguments, output_type="np" if further else "pt", return_dict=False)[0][0]
            except Enough:
                pipeline.maybe_free_model_hooks()
            except Exception as error:
                self._error = error

    def _watched(self) -> AbstractContextManager[None]:
        def around(_call: StepCall) -> Callable[[Any], None]:
            return lambda latents: self._lasts.append(latents.detach().clone())

        return observed_scheduler(self._subject.pipeline.scheduler, lambda: None, around)


def _compared(subject: Subject, last: torch.Tensor, handed_BCFHW: torch.Tensor) -> str:
    """Whether the autoencoder is handed the last latents as the family reads them."""
    ours_BCFHW = subject.family.latents_of(last, subject.layout.latent)
    frames = handed_BCFHW.shape[2] if handed_BCFHW.ndim == 5 else 0
    ours_BCFHW = ours_BCFHW[:, :, -frames:]  # what stands before the video's own frames is not decoded
    if ours_BCFHW.shape != handed_BCFHW.shape:
        seen = f"the autoencoder is handed {tuple(handed_BCFHW.shape)}, not {tuple(ours_BCFHW.shape)}"
        if subject.family.latent == "b c f h w":
            raise Moot(f"{seen}, and the latents are not packed")
        raise Broken(seen, "correct Family.latent, latent_shape or pack")
    alike_F = _cosines(_by_frame(subject, ours_BCFHW), _by_frame(subject, handed_BCFHW))
    other = [str(at) for at, alike in enumerate(alike_F) if alike < _ALIKE]
    if 2 * len(other) > len(alike_F) or len(other) == len(alike_F):
        raise Broken(
            f"the autoencoder is handed other latents (cosine {min(alike_F):.2f} in the worst channel)",
            "correct Family.latent or pack",
        )
    replaced = f"; the pipeline puts another frame {', '.join(other)} in" if other else ""
    least = min(alike for alike in alike_F if alike >= _ALIKE)
    return f"{subject.family.latent}, as the autoencoder is handed them (cosine {least:.4f} or more){replaced}"


def _same_pixels(ours: npt.NDArray[Any], theirs: npt.NDArray[Any], tolerance: float) -> str:
    remedy = "correct Family.decode, or set it to None"
    if ours.shape != theirs.shape:
        raise Broken(f"the family decodes to {ours.shape}, and the pipeline to {theirs.shape}", remedy)
    if np.array_equal(ours, theirs):
        return f"pixels {ours.shape} as the pipeline shows them, bit for bit"
    apart = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())
    if apart <= tolerance:  # which no NaN is
        return f"pixels {ours.shape} as the pipeline shows them, to {255 * apart:.2g} of 255"
    raise Broken(f"the family decodes to other pixels than the pipeline, by up to {255 * apart:.2g} of 255", remedy)


def _tolerance(pipeline: Any) -> float:
    """How far pixels may be apart: a level of a byte in half precision."""
    return _ALIKE_PIXELS if getattr(getattr(pipeline, "vae", None), "dtype", None) is torch.float32 else 1 / 255


@contextmanager
def _intercepted(pipeline: Any, handed: list[torch.Tensor], further: bool) -> Iterator[None]:
    """While inside, ``vae.decode`` keeps what it is handed, and decodes it, or ends the run."""
    vae = getattr(pipeline, "vae", None)
    stock = getattr(vae, "decode", None)
    if vae is None or stock is None:
        yield
        return

    def decode(values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        handed.append(values.detach().clone())
        if further:
            return stock(values, *args, **kwargs)
        raise Enough

    before = vae.__dict__.get("decode")
    vae.__dict__["decode"] = decode
    try:
        yield
    finally:
        del vae.__dict__["decode"]
        if before is not None:
            vae.__dict__["decode"] = before


def _by_frame(subject: Subject, values_BCFHW: torch.Tensor) -> torch.Tensor:
    """Frames, channels, places; a place that is packed into the channels may be scaled by itself, and counts as one."""
    pack = subject.family.pack if "p" in subject.family.latent else 1
    return rearrange(values_BCFHW.cpu().double(), "b c f (h p) (w q) -> f (c p q) (b h w)", p=pack, q=pack)


def _cosines(ours: torch.Tensor, theirs: torch.Tensor) -> list[float]:
    """How alike two videos are, in the worst channel of each frame."""
    ours, theirs = (values - values.mean(-1, keepdim=True) for values in (ours, theirs))
    alike: list[float] = torch.nn.functional.cosine_similarity(ours, theirs, dim=-1).min(dim=1).values.tolist()
    return alike
