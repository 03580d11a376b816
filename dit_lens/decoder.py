"""The autoencoder of a model alone: to look at stored latents, a denoiser of many gigabytes need not be read.

The rest of the pipeline is a skeleton (``dit_lens.skeleton``), so that latents are decoded by the same operations as at
the end of a run.

Shapes: C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dit_lens.adapters import Family, family_of
from dit_lens.engine.errors import BadRequest
from dit_lens.engine.run import decode
from dit_lens.models import _check_dtype, _check_index, _find, _folder_of, _loading, _name, _no_progress_bars
from dit_lens.skeleton import build_skeleton
from dit_lens.weights import hash_folder

__all__ = ["Decoder", "load_decoder"]

Video = npt.NDArray[np.uint8]
_PART = "vae"


class Decoder:
    """An autoencoder that turns latents of a store into pixels; made by ``load_decoder``.

    Attributes
    ----------
    model : str
        Name, Hub id or folder name.
    family : Family
    weights_sha256 : dict of str to str
        sha256 of its weights files, as in the manifest of a trace.
    """

    def __init__(self, model: str, pipeline: Any, family: Family, weights_sha256: dict[str, str]) -> None:
        self.model, self.family, self.weights_sha256 = model, family, weights_sha256
        self._pipeline = pipeline

    def decode(self, latents: torch.Tensor) -> Video:
        """Latents to pixels, as ``Lens.decode``.

        Parameters
        ----------
        latents : torch.Tensor
            Shape (1, C, F, H, W) or (C, F, H, W).

        Returns
        -------
        numpy.ndarray of uint8, shape (frames, height, width, 3)
        """
        return decode(self._pipeline, self.family, latents)

    @torch.no_grad()
    def encode(self, video: Video) -> torch.Tensor:
        """Pixels to latents, in the scale of those of a run.

        Parameters
        ----------
        video : numpy.ndarray of uint8, shape (frames, height, width, 3)

        Returns
        -------
        torch.Tensor
            Shape (C, F, H, W): the mode of the autoencoder's distribution.

        Raises
        ------
        BadRequest
            If it is not known how the family scales its latents.
        """
        vae = self._pipeline.vae
        mean, std = (getattr(vae.config, name, None) for name in ("latents_mean", "latents_std"))
        if not self.family.name.startswith("wan") or mean is None or std is None:
            raise BadRequest(
                f"videos cannot be encoded for family {self.family.name}; got a {type(vae).__name__}, allowed the "
                f"autoencoders of Wan; encode with the pipeline's own"
            )
        pixels = torch.from_numpy(np.ascontiguousarray(video)).to(vae.dtype).permute(3, 0, 1, 2)[None] / 127.5 - 1
        mode = vae.encode(pixels).latent_dist.mode()
        offset, scale = (torch.tensor(values, dtype=mode.dtype).view(1, -1, 1, 1, 1) for values in (mean, std))
        latent: torch.Tensor = ((mode - offset) / scale)[0]
        return latent

    def other_weights(self, manifest: Mapping[str, Any]) -> list[str]:
        """Files of the autoencoder that a trace was made with other bytes of, as far as its manifest names them.

        Parameters
        ----------
        manifest : mapping

        Returns
        -------
        list of str
        """
        known = manifest.get("weights_sha256")
        stated = known if isinstance(known, Mapping) else {}
        return [name for name, sha256 in self.weights_sha256.items() if stated.get(name, sha256) != sha256]

    def __repr__(self) -> str:
        return f"Decoder({self.model!r}, family {self.family.name!r})"


def load_decoder(model: str | Path, *, revision: str | None = None, dtype: torch.dtype | str | None = None) -> Decoder:
    """Load the autoencoder of a model, and of the rest its configurations.

    Parameters
    ----------
    model : str or pathlib.Path
        As in ``dit_lens.load``.
    revision : str, optional
        Branch, tag or commit of a Hub id.
    dtype : torch.dtype or str, optional
        By default float32.

    Returns
    -------
    Decoder

    Raises
    ------
    UnknownModel
        If there is no such model, or its autoencoder cannot be read.
    BadRequest
        If its latents cannot be decoded here.

    Examples
    --------
    >>> load_decoder("tiny-wan")
    Decoder('tiny-wan', family 'wan')
    """
    source, known = _find(str(model))
    wanted = _check_dtype(dtype)
    folder, _ = _folder_of(source, revision, weights=False)
    _check_index(folder, str(model))
    name = known.name if known is not None else _name(source)
    with _loading(name, "save or fetch the model again"), _no_progress_bars():
        pipeline = build_skeleton(folder, wanted)
        family = family_of(pipeline)
        _refuse_without(pipeline, family, name)
        folder = folder if isinstance(source, Path) else _fetch(source, revision)
        _put_in(pipeline, family, folder, wanted)
    files = {f"{_PART}/{path}": sha256 for path, sha256 in hash_folder(folder / _PART).items()}
    return Decoder(name, pipeline, family, files)


def _refuse_without(pipeline: Any, family: Family, name: str) -> None:
    if family.decode is None or getattr(pipeline, _PART, None) is None:
        raise BadRequest(
            f"latents of family {family.name} cannot be decoded here; got '{name}', allowed a family with a decoder; "
            f"decode them with the pipeline's own autoencoder"
        )


def _fetch(source: str, revision: str | None) -> Path:
    import huggingface_hub

    return Path(huggingface_hub.snapshot_download(source, revision=revision, allow_patterns=["*.json", f"{_PART}/*"]))


def _put_in(pipeline: Any, family: Family, folder: Path, dtype: torch.dtype) -> None:
    """The real autoencoder; without denoisers, the pipeline runs where it lies."""
    kind: Any = type(pipeline.vae)
    pipeline.vae = kind.from_pretrained(str(folder), subfolder=_PART, torch_dtype=dtype).eval()
    for name in family.denoisers(pipeline):
        setattr(pipeline, name, None)
