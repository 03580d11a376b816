"""Where a probe that reads traces gets pixels from: the autoencoder of the model that the manifest names.

Only the autoencoder is loaded, when the first latent is to be decoded, and once for all traces of a model. A trace says
with which weights it was made; an autoencoder with others would show other pictures, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dit_lens.errors import BadRequest, ProbeError, UnknownModel

__all__ = ["Decoders", "Decodes", "MissingDecoder"]

Video = npt.NDArray[np.uint8]
Latent = npt.NDArray[np.float32]
_REMEDY = "name one as model, or set decode=false"


class MissingDecoder(ProbeError, LookupError):
    """What decodes the latents of a trace is not at hand, or does not fit them.

    Examples
    --------
    >>> issubclass(MissingDecoder, LookupError), MissingDecoder.exit_code
    (True, 2)
    """


class Decodes(Protocol):
    """A ``dit_lens.Lens``, a ``dit_lens.decoder.Decoder``, or anything else that turns latents into pixels."""

    def decode(self, latents: Any) -> Video:
        """From a tensor (C, F, H, W) to uint8 (frames, height, width, 3)."""


class Decoders:
    """The decoder of each trace.

    Parameters
    ----------
    model : str, optional
        Whose autoencoder it is; by default that of the manifest.
    given : Decodes, optional
        A decoder for all traces, which is asked in place of any other, and taken at its word.

    Examples
    --------
    >>> try:
    ...     Decoders().of("a", {"model": "synthetic"})
    ... except MissingDecoder as error:
    ...     print(str(error)[:76])
    trace 'a' cannot be decoded: no decoder is at hand; got model 'synthetic' (n
    """

    def __init__(self, model: str | None = None, given: Decodes | None = None) -> None:
        self._model, self._given = model, given
        self._loaded: dict[tuple[str, str | None], Any] = {}

    def of(self, trace_id: str, manifest: Mapping[str, Any]) -> Decodes:
        """The decoder of a trace.

        Parameters
        ----------
        trace_id : str
        manifest : mapping

        Returns
        -------
        Decodes

        Raises
        ------
        MissingDecoder
        """
        if self._given is not None:
            return self._given
        model = self._model or manifest.get("model")
        if not isinstance(model, str):
            raise MissingDecoder(
                f"trace '{trace_id}' cannot be decoded: its manifest names no model; got {model!r}, allowed a name; "
                f"{_REMEDY}"
            )
        revision = manifest.get("revision") if self._model is None else None
        decoder = self._load(trace_id, model, revision)
        if other := decoder.other_weights(manifest):
            raise MissingDecoder(
                f"trace '{trace_id}' was made with another autoencoder; got '{model}' with other bytes in {other[0]}, "
                f"allowed those of the manifest; {_REMEDY}"
            )
        return decoder  # type: ignore[no-any-return]

    def _load(self, trace_id: str, model: str, revision: str | None) -> Any:
        from dit_lens.decoder import load_decoder

        if (model, revision) not in self._loaded:
            try:
                self._loaded[model, revision] = load_decoder(model, revision=revision)
            except (UnknownModel, BadRequest) as error:
                raise MissingDecoder(
                    f"trace '{trace_id}' cannot be decoded: no decoder is at hand; got model '{model}' ({error}), "
                    f"allowed a model that is here; {_REMEDY}"
                ) from error
        return self._loaded[model, revision]
