"""The dataset card of a store: ``README.md`` with a front matter that the Hub reads.

The Hub's viewer is switched off (``configs: []``): it looks for tables, and an array of activations is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from dit_lens_stores.errors import few
from dit_lens_stores.share.facts import ArrayFact, Facts
from dit_lens_stores.share.licences import hub_licence

__all__ = ["MARK", "card_of", "words_of_size"]

MARK = "<!-- written by dit-lens store push; delete this line to keep your own text -->"
"""A card without it was written by somebody, and is left alone."""
_CATEGORIES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
_SHOWN = 12


def card_of(facts: Facts) -> str:
    """Write the card of a store.

    Parameters
    ----------
    facts : Facts

    Returns
    -------
    str
        Markdown with a front matter.

    Examples
    --------
    >>> print(card_of(Facts("a.zarr", "s3://b/a.zarr", 2, 10, ("t0",), (), (), (), "CC-BY-4.0")).splitlines()[2])
    license: cc-by-4.0
    """
    parts = (_front(facts), MARK, f"# {facts.name}", _summary(facts), *_opening(facts), *_contents(facts))
    return "\n\n".join(part for part in (*parts, *_models(facts), *_probes(facts), _licence(facts)) if part) + "\n"


def words_of_size(size: int) -> str:
    """Put a number of bytes in words.

    Examples
    --------
    >>> words_of_size(512), words_of_size(1_300_000_000_000)
    ('512 bytes', '1.3 TB')
    """
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _front(facts: Facts) -> str:
    known = hub_licence(facts.licence)
    licence = [f"license: {known}"] if known else ["license: other", f"license_name: {json.dumps(facts.licence)}"]
    category = next((word for limit, word in _CATEGORIES if len(facts.traces) < limit), "n>1M")
    tags = ["zarr", "dit-lens", "dit-lens-v1", "interpretability", "activations", "video-generation"]
    return "\n".join(
        [
            "---",
            f"pretty_name: {json.dumps(facts.name)}",
            *licence,
            "tags:",
            *(f"- {tag}" for tag in tags),
            "size_categories:",
            f"- {category}",
            "configs: []",
            "---",
        ]
    )


def _summary(facts: Facts) -> str:
    count = f"{len(facts.traces)} trace" + "s" * (len(facts.traces) != 1)
    made = ", ".join(f"`{model.name}`" for model in facts.models) or "no model yet"
    return (
        f"Activations of a video diffusion transformer, recorded with dit-lens while it generated: {count} of {made}, "
        f"{words_of_size(facts.size)} in {facts.files} files. A trace is one generation seen from inside, by denoising "
        f"step, layer, frame and token. The store is a Zarr v3 hierarchy with one group for each trace."
    )


def _opening(facts: Facts) -> list[str]:
    if not facts.traces or not facts.arrays:
        return []
    trace, array = facts.traces[0], facts.arrays[0].name
    ours = ["import dit_lens", f'trace = dit_lens.open("{facts.url}")["{trace}"]', f'values = trace["{array}"].load()']
    return ["## Open it", "`pip install dit-lens`; only the chunks that are touched are fetched.", _code(ours)]


def _contents(facts: Facts) -> list[str]:
    rows = [_row(array) for array in facts.arrays]
    table = _table(("array", "dimensions", "dtype", "traces"), rows)
    names = few((f"`{trace}`" for trace in facts.traces), _SHOWN)
    asked = f"Captures: {', '.join(f'`{capture}`' for capture in facts.captures)}." if facts.captures else ""
    return ["## What is in it", table, asked, f"Traces: {names}." if facts.traces else ""]


def _row(array: ArrayFact) -> tuple[str, ...]:
    dtype = array.dtype + (f" (values of {array.source})" if array.source not in ("", array.dtype) else "")
    return f"`{array.name}`", " × ".join(f"{dim} {size}" for dim, size in array.dims), dtype, str(array.traces)


def _models(facts: Facts) -> list[str]:
    rows = [(f"`{model.name}`", model.revision or "", model.licence or "not known") for model in facts.models]
    return ["## Models", _table(("model", "revision", "licence"), rows)] if rows else []


def _probes(facts: Facts) -> list[str]:
    if not facts.probes:
        return []
    names = ", ".join(f"`{name}`" for name in facts.probes)
    return [
        "## Probes",
        f"It holds what these probes need: {names}. `dit-lens analyze STORE --probe {facts.probes[0]}`",
    ]


def _licence(facts: Facts) -> str:
    return (
        f"## Licence\n\nThe data: {facts.licence}. The models' own licences (above) hold for what was made with them. "
        f"Each trace carries its manifest: model, weights, prompt, seed, scheduler and versions. `SHA256SUMS` names "
        f"the hash of every file: `sha256sum -c SHA256SUMS`."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(lines: Sequence[str]) -> str:
    return "\n".join(["```python", *lines, "```"])
