"""Hold a manifest against the JSON Schema that is shipped with the format.

The schema uses few words of JSON Schema (2020-12), so the few lines here are enough to check it, and a store can be
checked without another package. A word that is not known here is an error, not passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["manifest_problems", "manifest_schema"]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int or (isinstance(value, float) and value.is_integer()),
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_PLAIN = ("$schema", "$defs", "title", "description")
_SHOWN = 60


@cache
def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema of a manifest.

    Examples
    --------
    >>> manifest_schema()["type"]
    'object'
    """
    schema: dict[str, Any] = json.loads(files("dit_lens_stores").joinpath("manifest.schema.json").read_text("utf-8"))
    return schema


def manifest_problems(manifest: Any) -> list[str]:
    """List what a manifest has that its schema does not allow, each with its path.

    Parameters
    ----------
    manifest : mapping

    Returns
    -------
    list of str

    Examples
    --------
    >>> manifest_problems({"seed": "three", "steps": 20, "mine": 1})
    ["manifest.seed is 'three', allowed integer"]
    """
    return list(_problems("manifest", manifest, manifest_schema()))


def _problems(path: str, value: Any, schema: Any) -> Iterator[str]:
    for word, rule in {} if schema is True else schema.items():
        if word not in _PLAIN:
            yield from _RULES[word](path, value, rule, schema)


def _type(path: str, value: Any, rule: Any, _: Any) -> Iterator[str]:
    kinds = [rule] if isinstance(rule, str) else rule
    if not any(_TYPES[kind](value) for kind in kinds):
        yield f"{path} is {_short(value)}, allowed {' or '.join(kinds)}"


def _properties(path: str, value: Any, rule: Mapping[str, Any], _: Any) -> Iterator[str]:
    for name, inner in rule.items() if isinstance(value, dict) else ():
        if name in value:
            yield from _problems(f"{path}.{name}", value[name], inner)


def _further(path: str, value: Any, rule: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    for name in set(value) - set(schema.get("properties", {})) if isinstance(value, dict) else ():
        yield from _problems(f"{path}.{name}", value[name], rule)


def _items(path: str, value: Any, rule: Any, _: Any) -> Iterator[str]:
    for place, item in enumerate(value) if isinstance(value, list) else ():
        yield from _problems(f"{path}[{place}]", item, rule)


def _any_of(path: str, value: Any, rule: Any, _: Any) -> Iterator[str]:
    found = [list(_problems(path, value, inner)) for inner in rule]
    if all(found):
        yield found[0][0]


def _pattern(path: str, value: Any, rule: str, _: Any) -> Iterator[str]:
    if isinstance(value, str) and not re.search(rule, value):
        yield f"{path} is {_short(value)}, allowed {rule}"


def _minimum(path: str, value: Any, rule: float, _: Any) -> Iterator[str]:
    if type(value) in (int, float) and value < rule:
        yield f"{path} is {value}, allowed {rule} or more"


def _required(path: str, value: Any, rule: Any, _: Any) -> Iterator[str]:
    for name in rule if isinstance(value, dict) else ():
        if name not in value:
            yield f"{path} lacks {name}"


def _unique(path: str, value: Any, rule: bool, _: Any) -> Iterator[str]:
    if rule and isinstance(value, list) and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
        yield f"{path} is {_short(value)}, allowed each item once"


def _ref(path: str, value: Any, rule: str, _: Any) -> Iterator[str]:
    yield from _problems(path, value, manifest_schema()["$defs"][rule.removeprefix("#/$defs/")])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


_RULES: dict[str, Callable[[str, Any, Any, Any], Iterator[str]]] = {
    "type": _type,
    "properties": _properties,
    "additionalProperties": _further,
    "items": _items,
    "anyOf": _any_of,
    "pattern": _pattern,
    "minimum": _minimum,
    "required": _required,
    "uniqueItems": _unique,
    "$ref": _ref,
}
