"""A pipeline without its weights: everything that a plan needs to know, from configurations alone.

Denoisers and autoencoder are built on torch's ``meta`` device, where a tensor has a shape and no bytes, so a model of
tens of gigabytes takes a moment and no memory. The scheduler is real. Text encoders, tokenizers and image encoders are
left out: no plan asks them anything. What a skeleton cannot do, it refuses by name.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from dit_lens.engine.errors import UnknownModel, Untraceable
from dit_lens.lens import Lens
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens.generation import Generation, Result
    from dit_lens.nnsight_bridge import Session

__all__ = ["Skeleton", "build_skeleton"]

_CHECKER = "safety_checker"
"""Cosmos makes one itself, out of a further package, if it is given none."""


class Skeleton(Lens):
    """A lens on a pipeline without weights: it plans and checks, and neither generates nor traces.

    Made by ``dit_lens.load(model, weights=False)``.

    Examples
    --------
    >>> import dit_lens
    >>> lens = dit_lens.load("tiny-wan", weights=False)  # doctest: +SKIP
    >>> lens.plan(request, ["block.out:energy"])  # doctest: +SKIP
    """

    def generate_batch(self, requests: Sequence[Generation], **kwargs: Any) -> tuple[Result, ...]:
        """Refuse."""
        self._refuse("generate")

    def trace_batch(self, requests: Sequence[Generation], *args: Any, **kwargs: Any) -> tuple[Result, ...]:
        """Refuse."""
        self._refuse("trace")

    def nnsight(self, request: Generation, **kwargs: Any) -> Session:
        """Refuse."""
        self._refuse("run with nnsight")

    def decode(self, latents: torch.Tensor) -> Any:
        """Refuse."""
        self._refuse("decode")

    def _refuse(self, what: str) -> NoReturn:
        raise Untraceable(
            f"a model without weights cannot {what}; got {self.origin.model!r} loaded with weights=False, allowed a "
            f"model with its weights; load it without weights=False"
        )


def build_skeleton(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """Build the pipeline of a folder of which only the configurations need to be there.

    Parameters
    ----------
    folder : pathlib.Path
        As diffusers saves one.
    dtype : torch.dtype
        In which the model would compute.

    Returns
    -------
    diffusers.DiffusionPipeline
        With denoisers and autoencoder on the ``meta`` device.

    Raises
    ------
    UnknownModel
        If the pipeline is not built of classes that diffusers has.
    """
    import diffusers

    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    kind = getattr(diffusers, index["_class_name"], None)
    if kind is None:
        raise UnknownModel(
            f"a pipeline cannot be built from its configuration; got {index['_class_name']!r}, allowed a class of "
            f"diffusers; load it with its weights"
        )
    takes = inspect.signature(kind.__init__).parameters
    named = {name: entry for name, entry in index.items() if name in takes}
    parts = {name: _part(folder, name, entry, dtype) for name, entry in named.items()}
    return kind(**parts, **_absent(takes, named))


def _absent(takes: Mapping[str, inspect.Parameter], named: Mapping[str, Any]) -> dict[str, None]:
    """Parts that a pipeline insists on, and that the folder does not name."""
    empty = inspect.Parameter.empty
    return {
        name: None
        for name, parameter in takes.items()
        if name not in named and name != "self" and parameter.default is empty and parameter.kind.name != "VAR_KEYWORD"
    }


def _part(folder: Path, name: str, entry: Any, dtype: torch.dtype) -> Any:
    """A component, or a setting, which the index holds as it is."""
    if not (isinstance(entry, list) and len(entry) == 2):
        return entry
    if name == _CHECKER:
        return torch.nn.Module()
    library, kind = entry
    if library is None or kind is None or library == "transformers":
        return None
    return _built(folder, name, _class(library, kind), dtype)


def _class(library: str, kind: str) -> Any:
    try:
        module = import_module(library)
    except ImportError:  # a module of the pipeline's own, or one that is not installed
        return None
    if library == "diffusers" and not hasattr(module, kind):
        hint = close_match(kind, [name for name in dir(module) if name[:1].isupper()]) or "; install a newer diffusers"
        raise UnknownModel(
            f"a part of the pipeline is not known to diffusers; got {kind!r}, allowed its classes of version "
            f"{module.__version__}{hint}"
        )
    return getattr(module, kind, None)


def _built(folder: Path, name: str, kind: Any, dtype: torch.dtype) -> Any:
    """On the ``meta`` device if it has weights; schedulers and guiders have none, and are real."""
    from diffusers import ConfigMixin, ModelMixin

    if not isinstance(kind, type) or not issubclass(kind, (ConfigMixin, ModelMixin)):
        return None
    maker: Any = kind  # diffusers has no types
    if not issubclass(kind, ModelMixin):
        return maker.from_pretrained(str(folder), subfolder=name)
    config = maker.load_config(str(folder), subfolder=name, local_files_only=True)
    with torch.device("meta"):
        model = maker.from_config(config)
    torch.nn.Module.to(model, dtype)  # that of diffusers warns of layers which it would keep in float32
    return model.eval()
