"""The parameters of the CKA probe: what is compared with what, by which measure, and how exactly."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from dit_lens.captures import SITES, Capture, Selection

__all__ = ["MEASURES", "CkaParams", "Pairs"]

Pairs = Literal["within", "across", "branches"]
Measure = Literal["cka", "angular", "procrustes", "mutual_knn"]
MEASURES: tuple[Measure, ...] = ("cka", "angular", "procrustes", "mutual_knn")
GRAMS: tuple[Measure, ...] = ("cka", "angular")
"""The measures that need Gram matrices and nothing else."""
_AXES = ("step", "layer", "branch")
_MIB, _GIB = 2**20, 2**30


def _text(value: Any) -> Any:
    """Numbers as they come from a command line that reads JSON."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else value


Text = Annotated[str, BeforeValidator(_text)]


class CkaParams(BaseModel):
    """Parameters of the CKA probe.

    Attributes
    ----------
    pairs : {"within", "across", "branches"}
        All pairs of (step, layer) inside each trace; the same address in every two traces; or in every two branches.
    measure : {"cka", "angular", "procrustes", "mutual_knn"}
    estimator : {"debiased", "biased"}
        Of CKA. The biased one is for comparison with published numbers.
    normalise : {"none", "token_ln", "channel_z", "drop_first"}
        What is done to the tokens of a representation first.
    within_frame : bool
        Centre and compare inside frames only. Another quantity, and named so in the result.
    source : str
        ``raw``, or ``gram:B`` for the Gram matrices that a ``gram:B`` capture holds.
    site : str
        What is compared; the output of every block by default.
    steps, layers, branches : str
        Which, as in ``0:20:5`` or ``cond``; all that the trace holds by default.
    minibatch : int, optional
        Tokens in a minibatch of permuted tokens; by default as many as fit in ``keep``. With no fewer than there are
        tokens, the result is exact.
    keep : float
        MiB that a representation may keep until the end.
    memory : float
        GiB that all of them may keep; more is refused before anything is read.
    seed : int
        Of the permutation of tokens, of the null and of the resamples.
    permutations : int, optional
        Of the permutation null; by default 20 for CKA and none for the others, which are slow.
    resamples : int
        Of the traces, for intervals.
    neighbours : int
        Of every token, for ``mutual_knn``.
    reference : str, optional
        A trace that all others are compared with, in place of every two of them.
    other_model : bool
        Let traces of different weights be compared.
    device : str
        ``auto``, or a device of torch.

    Examples
    --------
    >>> [str(capture) for capture in CkaParams(steps=3).captures()]
    ['block.out:raw[step=3]']
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: Pairs = "within"
    measure: Measure = "cka"
    estimator: Literal["debiased", "biased"] = "debiased"
    normalise: Literal["none", "token_ln", "channel_z", "drop_first"] = "none"
    within_frame: bool = False
    source: str = "raw"
    site: str = "block.out"
    steps: Text = ""
    layers: Text = ""
    branches: Text = ""
    minibatch: int | None = Field(default=None, ge=4)
    keep: float = Field(default=4.0, gt=0)
    memory: float = Field(default=4.0, gt=0)
    seed: int = Field(default=0, ge=0)
    permutations: int | None = Field(default=None, ge=0)
    resamples: int = Field(default=1000, ge=1)
    neighbours: int = Field(default=10, ge=1)
    reference: str | None = None
    other_model: bool = False
    device: str = "auto"

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        if source != "raw" and not re.fullmatch(r"gram:[0-9]{1,9}(x[0-9]{1,9})?", source):
            raise ValueError("raw, or gram:B such as gram:256 or gram:256x4")
        return source

    @field_validator("site")
    @classmethod
    def _known_site(cls, site: str) -> str:
        if site not in sites():
            raise ValueError(f"one of {', '.join(sites())}")
        return site

    @model_validator(mode="after")
    def _go_together(self) -> CkaParams:
        if self.measure not in GRAMS:
            named = {"within_frame": self.within_frame, "minibatch": self.minibatch, "source": self.from_grams}
            wrong = next((name for name, value in named.items() if value), None)
            if wrong:
                raise ValueError(f"measure {' or '.join(GRAMS)} with {wrong}")
        if self.from_grams:
            given = {"normalise": self.normalise != "none", "within_frame": self.within_frame}
            wrong = next((name for name, value in {**given, "minibatch": self.minibatch}.items() if value), None)
            if wrong:
                raise ValueError(f"source raw with {wrong}: Gram matrices were made when they were captured")
        if self.reference is not None and self.pairs != "across":
            raise ValueError("pairs across with reference")
        return self

    @property
    def from_grams(self) -> bool:
        """Whether Gram matrices of a capture are read."""
        return self.source != "raw"

    @property
    def nulls(self) -> int:
        """Permutations of the null."""
        if self.permutations is not None:
            return self.permutations
        return 20 if self.measure in GRAMS else 0

    @property
    def keep_bytes(self) -> int:
        """Bytes that one representation may keep."""
        return int(self.keep * _MIB)

    @property
    def memory_bytes(self) -> int:
        """Bytes that all of them may keep."""
        return int(self.memory * _GIB)

    def captures(self) -> list[Capture]:
        """What a trace must hold."""
        wishes = zip(_AXES, (self.steps, self.layers, self.branches), strict=True)
        select = Selection.parse(",".join(f"{axis}={terms}" for axis, terms in wishes if terms))
        reduction, _, argument = self.source.partition(":")
        return [Capture(self.site, reduction, select, argument)]


def sites() -> list[str]:
    """The sites that have rows of channels for tokens in frames, at every layer.

    Examples
    --------
    >>> [name in sites() for name in ("block.out", "ffn.out", "latent", "attn1.q")]
    [True, True, False, False]
    """
    event, values = ("branch", "step", "layer"), ("frame", "token", "channel")
    return [name for name, site in SITES.items() if (site.event_dims, site.value_dims) == (event, values)]
