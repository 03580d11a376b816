"""Load a model by name, folder or Hub id, all through the same code.

``tiny-wan`` ships with the package: a small trained Wan2.2 in the true diffusers layout. Anything else is a folder
that diffusers has saved, or the id of one on the Hugging Face Hub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dit_lens.describing import LayerRow, SiteRow, describe, describe_layers
from dit_lens.engine.errors import BadRequest, UnknownModel
from dit_lens.generation import Size
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    import torch

    from dit_lens.lens import Lens, Origin

__all__ = ["KnownModel", "LayerRow", "SiteRow", "describe", "describe_layers", "known_models", "load"]

_INDEX = "model_index.json"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class KnownModel:
    """A model that is known by name.

    Attributes
    ----------
    name : str
    folder : pathlib.Path
    size : Size
        The size that it was trained for.
    licence : str
    summary : str
    """

    name: str
    folder: Path
    size: Size
    licence: str
    summary: str

    @property
    def available(self) -> bool:
        """Whether its weights are there."""
        return (self.folder / _INDEX).is_file()


def known_models() -> tuple[KnownModel, ...]:
    """Every model that has a name of its own.

    Examples
    --------
    >>> [model.name for model in known_models()]
    ['tiny-wan']
    """
    return (
        KnownModel(
            name="tiny-wan",
            folder=Path(__file__).parent / "tiny" / "weights",
            size=Size(64, 64, 17),
            licence="Apache-2.0",
            summary="a small trained Wan2.2 (image to video, two experts) that solves mazes",
        ),
    )


def load(
    model: str | Path,
    *,
    dtype: torch.dtype | str | None = None,
    device: str | None = None,
    revision: str | None = None,
    weights: bool = True,
) -> Lens:
    """Load a model and put a lens on it.

    Parameters
    ----------
    model : str or pathlib.Path
        ``tiny-wan``, a local folder that diffusers has saved, or a Hub id such as ``Wan-AI/Wan2.2-I2V-A14B-Diffusers``.
    dtype : torch.dtype or str, optional
        Such as ``"bfloat16"``; by default float32.
    device : str, optional
        By default the CPU.
    revision : str, optional
        Branch, tag or commit of a Hub id; the manifest of a trace names the commit that it led to.
    weights : bool
        Without them, configurations are all that is read, and all that is fetched from the Hub: the lens plans and
        checks, takes no memory, and neither generates nor traces.

    Returns
    -------
    Lens

    Raises
    ------
    UnknownModel
        If there is no such model, or no adapter knows it.
    BadRequest
        If there is no such dtype or device here, or a revision is asked of what has none.

    Examples
    --------
    >>> load("tiny-wna")
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.UnknownModel: no such model; got 'tiny-wna', allowed tiny-wan, ... did you mean 'tiny-wan'?
    """
    from dit_lens.lens import Lens, Origin

    source, known = _find(str(model))
    wanted = _check_dtype(dtype)
    _check_device(device)
    folder, commit = _folder_of(source, revision, weights)
    _check_index(folder, str(model))
    if known is not None:
        origin = Origin(known.name, folder, known.licence, known.size)
    else:
        origin = Origin(_name(source), folder, _card_licence(_card(folder, source, commit)), revision=commit)
    if not weights:
        return _without_weights(folder, origin, wanted)
    pipeline = _from_pretrained(folder, _name(source), wanted)
    if device is not None:
        pipeline.to(device)
    return Lens(pipeline, origin)


def _without_weights(folder: Path, origin: Origin, dtype: torch.dtype) -> Lens:
    from dit_lens.skeleton import Skeleton, build_skeleton

    with _loading(origin.model, "save or fetch the model again"), _no_progress_bars():
        pipeline = build_skeleton(folder, dtype)
    return Skeleton(pipeline, replace(origin, folder=None))


def _find(model: str) -> tuple[Path | str, KnownModel | None]:
    """What to load: a folder or a Hub id; and the known model that it is."""
    models = known_models()
    for known in models:
        if model == known.name or Path(model).resolve() == known.folder:
            if not known.available:
                raise UnknownModel(
                    f"the weights of {known.name} are not there; got no {_INDEX}, allowed a trained model; "
                    f"run 'dit-lens models train {known.name}'"
                )
            return known.folder, known
    if Path(model).is_dir():
        return Path(model), None
    if _HUB_ID.fullmatch(model):
        return model, None
    names = [known.name for known in models]
    raise UnknownModel(
        f"no such model; got {model!r}, allowed {', '.join(names)}, a diffusers folder, or a Hub id as owner/name"
        f"{close_match(model, names) or '; check the name'}"
    )


def _name(source: Path | str) -> str:
    return source.resolve().name if isinstance(source, Path) else source


def _folder_of(source: Path | str, revision: str | None, weights: bool) -> tuple[Path, str | None]:
    """The local folder of a model, fetched from the Hub if it comes from there, and its commit."""
    if isinstance(source, Path):
        if revision is not None:
            raise BadRequest(
                f"a local model has no revisions; got {revision!r}, allowed None; leave it out, or give a Hub id"
            )
        return source, None
    with _loading(source, "check the name and the network"), _no_progress_bars():
        folder = Path((_fetch_all if weights else _fetch_configurations)(source, revision))
    return folder, folder.name if folder.parent.name == "snapshots" else None


def _fetch_all(source: str, revision: str | None) -> str:
    from diffusers import DiffusionPipeline

    loader: Any = DiffusionPipeline  # diffusers has no types
    return str(loader.download(source, revision=revision))


def _fetch_configurations(source: str, revision: str | None) -> str:
    import huggingface_hub

    return str(
        huggingface_hub.snapshot_download(
            source, revision=revision, allow_patterns=["*.json"], ignore_patterns=["*.index.json", "tokenizer*/*"]
        )
    )


def _check_index(folder: Path, name: str) -> None:
    """Refuse a folder before its weights are read."""
    from dit_lens.adapters import families

    allowed = sorted({name for family in families() for name in family.pipelines})
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        pipeline = str(index.get("_class_name"))
    except (OSError, ValueError, AttributeError):
        raise UnknownModel(
            f"no model in this folder; got {Path(name).name!r} without a readable {_INDEX}, allowed a folder that "
            f"diffusers has saved; "
            "save one with pipeline.save_pretrained"
        ) from None
    if pipeline not in allowed:
        raise UnknownModel(
            f"no adapter knows the pipeline in {Path(name).name!r}; got {pipeline!r}, allowed {', '.join(allowed)}"
            f"{close_match(pipeline, allowed) or '; add a family through the entry-point group dit_lens.adapters'}"
        )


def _check_dtype(dtype: torch.dtype | str | None) -> torch.dtype:
    import torch

    wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype or torch.float32
    if not (isinstance(wanted, torch.dtype) and wanted.is_floating_point):
        raise BadRequest(
            f"no such dtype to load a model in; got {dtype!r}, allowed float32, bfloat16, float16; choose one"
        )
    return wanted


def _check_device(device: str | None) -> None:
    """Refuse a device that torch cannot put a tensor on, before weights are read."""
    import torch

    try:
        usable = torch.empty(1, device=device or "cpu").device.type != "meta"
    except (AssertionError, RuntimeError, TypeError, NotImplementedError):
        usable = False
    if not usable:
        here = ["cpu"] + ([str(torch.accelerator.current_accelerator())] if torch.accelerator.is_available() else [])
        raise BadRequest(f"no such device here; got {device!r}, allowed {', '.join(here)}; choose one")


def _from_pretrained(folder: Path, name: str, dtype: torch.dtype) -> Any:
    from diffusers import DiffusionPipeline

    loader: Any = DiffusionPipeline  # diffusers has no types
    with _loading(name, "save or fetch the model again"), _no_progress_bars():
        return loader.from_pretrained(str(folder), dtype=dtype)


@contextmanager
def _loading(name: str, remedy: str) -> Iterator[None]:
    """Put whatever the loaders raise on one line."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise UnknownModel(
            f"the model could not be loaded; got {name!r} with {reason[:300]}, allowed a folder or Hub id of a "
            f"diffusers pipeline; {remedy}"
        ) from error


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """A library prints nothing while it loads; the settings of diffusers and transformers are put back."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    logs = [log for log in (diffusers_logging, transformers_logging) if log.is_progress_bar_enabled()]
    for log in logs:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in logs:
            log.enable_progress_bar()


def _card(folder: Path, source: Path | str, commit: str | None) -> Path:
    """The model card; diffusers does not fetch it with the weights."""
    card = folder / "README.md"
    if card.is_file() or isinstance(source, Path):
        return card
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source, card.name, revision=commit))
    except Exception:  # no card, or no network: the licence is then not known, and the model runs all the same
        return card


def _card_licence(card: Path) -> str | None:
    """The licence that the front matter of a model card states."""
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    stated = re.search(r"\A---\n(?:.*\n)*?license:\s*(\S+)", text)
    return stated[1] if stated else None
