"""The Croissant metadata of a store: what it is, its licence and its files, for machines.

Croissant 1.0 knows tables, not chunked arrays, so there is no record set; the files are named, and the arrays are
listed as what was measured. Nothing in it depends on the clock.
"""

from __future__ import annotations

import json
from typing import Any

from dit_lens_stores.schema import SUMS
from dit_lens_stores.share.facts import Facts
from dit_lens_stores.share.files import ROOT, File
from dit_lens_stores.share.licences import licence_address

__all__ = ["CONTEXT", "croissant_of"]

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification prescribes."""


def croissant_of(facts: Facts, root: File, sums: File) -> str:
    """Write the Croissant metadata of a store.

    Parameters
    ----------
    facts : Facts
    root : File
        The store's ``zarr.json``.
    sums : File
        The hashes of its files.

    Returns
    -------
    str
        JSON-LD.

    Examples
    --------
    >>> facts = Facts("a.zarr", "s3://b/a.zarr", 2, 10, ("t0",), (), (), (), "CC-BY-4.0")
    >>> json.loads(croissant_of(facts, File("zarr.json"), File("SHA256SUMS")))["license"]
    'https://spdx.org/licenses/CC-BY-4.0.html'
    """
    models = ", ".join(f"{model.name} ({model.licence or 'licence not known'})" for model in facts.models)
    described = f"{len(facts.traces)} traces of video diffusion transformers as Zarr v3. Models: {models or 'none'}."
    known = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": facts.name,
        "description": f"{described} Open with dit_lens.open, or each trace's group with xarray.open_zarr.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licence_address(facts.licence),
        "url": facts.url,
        "version": "1.0.0",
        "keywords": ["zarr", "dit-lens", "interpretability", "activations", "video generation"],
        "variableMeasured": [array.name for array in facts.arrays],
        "distribution": [_file(root, "application/json"), _file(sums, "text/plain")],
    }
    return json.dumps(known, indent=2) + "\n"


def _file(file: File, encoding: str) -> dict[str, Any]:
    described = {ROOT: "Format, and the index of all traces.", SUMS: "The sha256 of every file of the store."}
    return {
        "@type": "cr:FileObject",
        "@id": file.key,
        "name": file.key,
        "description": described[file.key],
        "contentUrl": file.key,
        "contentSize": f"{file.size} B",
        "encodingFormat": encoding,
        "sha256": file.sha256,
    }
