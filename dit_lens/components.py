"""What the parts of a pipeline are besides their weights: configurations and vocabularies, as sha256 of each part.

The same weights are another model under another configuration: a scale of latents, an activation, the number of a word.
All of it is read from the parts as they are in memory, so an edit there shows as one in their files does. What a call
leaves in a part does not show: tokenizers note in themselves how they last padded. Nor does what only says where a part
came from, which versions saved it and in which type it was loaded, which a manifest says elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from dit_lens.manifest import plain

__all__ = ["hash_components"]

_NOT_PART = ("transformers_version", "architectures", "dtype", "torch_dtype")
_OF_LAST_CALL = re.compile(r'"truncation":.*?"padding":.*?(?="added_tokens":)', re.DOTALL)
_OF_TOKENIZER = ("special_tokens_map", "model_max_length", "padding_side", "truncation_side")
_INNER = ("tokenizer", "image_processor", "feature_extractor", "video_processor")


def hash_components(pipeline: Any) -> dict[str, str]:
    """sha256 of the class and the configuration of every part of a pipeline, by name; of tokenizers also the words.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> part = SimpleNamespace(config={"scale": 1.0, "_name_or_path": "x"})
    >>> before = hash_components(SimpleNamespace(components={"vae": part, "image_encoder": None}))
    >>> part.config["scale"] = 2.0
    >>> sorted(before), before == hash_components(SimpleNamespace(components={"vae": part}))
    (['vae'], False)
    """
    parts = {name: getattr(part, "_orig_mod", part) for name, part in sorted(pipeline.components.items())}
    described = {name: _describe(part) for name, part in parts.items() if part is not None}
    return {
        name: hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        for name, facts in described.items()
    }


def _describe(part: Any) -> dict[str, Any]:
    if isinstance(part, (str, bool, int, float, list, tuple)):  # an argument of the pipeline that diffusers lists so
        return {"value": plain(part)}
    facts = {"class": type(part).__name__, "config": _configuration(part)}
    if hasattr(part, "get_vocab"):
        facts |= {"words": _words(part)} | {name: plain(getattr(part, name, None)) for name in _OF_TOKENIZER}
    inner = {name: getattr(part, name, None) for name in _INNER}
    return facts | {name: _describe(each) for name, each in inner.items() if each is not None}


def _configuration(part: Any) -> Any:
    """That of a model or scheduler, or the settings of an image processor; None where there is neither.

    Of transformers only what is not the default: with a new version there are new entries, and the model is the same.
    """
    config: Any = getattr(part, "config", None)
    if hasattr(config, "to_diff_dict"):
        return _kept(plain(config.to_diff_dict()))
    if isinstance(config, Mapping):
        return _kept(plain(config))
    if not hasattr(part, "get_vocab") and not hasattr(part, "parameters") and hasattr(part, "to_dict"):
        return _kept(plain(part.to_dict()))
    return None


def _kept(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _kept(entry) for key, entry in value.items() if key not in _NOT_PART}
    return [_kept(entry) for entry in value] if isinstance(value, list) else value


def _words(tokenizer: Any) -> str:
    """sha256 of all that turns text into numbers; of a tokenizer without a backend, of its words."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if hasattr(backend, "to_str"):
        text = _OF_LAST_CALL.sub("", backend.to_str(), count=1)
    else:
        text = json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()
