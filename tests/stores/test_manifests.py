"""Our few lines of JSON Schema agree with the reference implementation on the schema that is shipped."""

from __future__ import annotations

from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from dit_lens_stores import manifests

SCHEMA = manifests.manifest_schema()
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 9), st.floats(-2, 9), st.sampled_from(["", "a", "0a" * 32, "0A" * 32])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["class", "config", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(manifest=st.dictionaries(st.sampled_from([*SCHEMA["properties"], "mine"]), VALUES, max_size=6))
def test_it_agrees_with_jsonschema(manifest: dict[str, Any]) -> None:
    valid = jsonschema.Draft202012Validator(SCHEMA).is_valid(manifest)
    assert (manifests.manifest_problems(manifest) == []) == valid


def test_every_problem_has_a_path() -> None:
    manifest = {
        "scheduler": {"config": {}},
        "weights_sha256": {"transformer": "00"},
        "branches": ["cond", "cond"],
        "steps": 0,
        "latents": ["zz"],
        "loras": [{"name": "a", "component": "transformer", "on": True, "rank": "much"}],
    }
    assert sorted(manifests.manifest_problems(manifest)) == [
        "manifest.branches is ['cond', 'cond'], allowed each item once",
        "manifest.latents[0] is 'zz', allowed ^[0-9a-f]{64}$",
        "manifest.loras[0] lacks fused",
        "manifest.loras[0].rank is 'much', allowed number",
        "manifest.scheduler lacks class",
        "manifest.steps is 0, allowed 1 or more",
        "manifest.weights_sha256.transformer is '00', allowed ^[0-9a-f]{64}$",
    ]
    assert manifests.manifest_problems([]) == ["manifest is [], allowed object"]
