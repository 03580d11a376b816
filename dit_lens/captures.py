"""What to record: a site, a reduction, and a selection.

``SITES`` and ``REDUCTIONS`` are tables: the dimensions of an array follow from the site's row and from what the
reduction takes away, so a new site is one row here and one line in the engine. A capture is plain data, written as
text (``block.out:raw[step=0:3,layer=2:5]``) or made in Python; ``resolve`` checks it against the layout of a run,
before it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING

from dit_lens.address import Address
from dit_lens.engine.errors import BadSelection, UnknownCapture
from dit_lens.selection import AXES, Selection, Term, pick
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout

__all__ = ["REDUCTIONS", "SITES", "Capture", "Reduction", "Resolved", "Selection", "Site", "read_captures"]


@dataclass(frozen=True)
class Site:
    """A named place in the model: the dimensions of what flows there, and which of them one event fixes."""

    name: str
    event_dims: tuple[str, ...]
    value_dims: tuple[str, ...]
    feature_dim: str
    meaning: str


@dataclass(frozen=True)
class Reduction:
    """What is kept of one event; ``keeps_features`` is False where the channels are reduced away."""

    name: str
    keeps_features: bool
    meaning: str


_LATENT = ("latent_channel", "frame", "h", "w")


def _latent_site(name: str, event_dims: tuple[str, ...], meaning: str) -> Site:
    return Site(name, event_dims, _LATENT, "latent_channel", meaning)


SITES: Mapping[str, Site] = MappingProxyType(
    {
        site.name: site
        for site in (
            Site(
                "block.out",
                ("branch", "step", "layer"),
                ("frame", "token", "channel"),
                "channel",
                "residual stream after a transformer block",
            ),
            _latent_site("latent", ("step",), "noisy latent that the step starts from"),
            _latent_site("velocity", ("branch", "step"), "output of the denoiser, per branch"),
            _latent_site("velocity.guided", ("step",), "velocity after guidance, as the scheduler receives it"),
            _latent_site("x0", ("branch", "step"), "clean latent that one branch's velocity points to"),
            _latent_site("x0.guided", ("step",), "clean latent that the guided velocity points to"),
        )
    }
)
"""Every site by its name."""

REDUCTIONS: Mapping[str, Reduction] = MappingProxyType(
    {
        "raw": Reduction("raw", True, "the values themselves, as float32"),
        "energy": Reduction("energy", False, "L2 norm over the channels, in float32"),
    }
)
"""Every reduction by its name."""

_FORM = re.compile(
    r"\s*(?P<site>[^:\[\]\s]+)\s*(?::\s*(?P<reduction>[^:\[\]\s]+)\s*)?(?:\[(?P<selection>[^\[\]]*)\])?\s*"
)


@dataclass(frozen=True)
class Capture:
    """One array to record.

    Parameters
    ----------
    site : str
        A key of ``SITES``.
    reduction : str
        A key of ``REDUCTIONS``.
    select : Selection
        Everything by default.

    Raises
    ------
    UnknownCapture
        If the site or the reduction is unknown.
    BadSelection
        If the selection names an axis that the site does not have.

    Examples
    --------
    >>> capture = Capture("block.out", "energy", Selection(layer="2:5"))
    >>> capture.array, str(capture)
    ('block.out.energy', 'block.out:energy[layer=2:5]')
    """

    site: str
    reduction: str = "raw"
    select: Selection = Selection()

    def __post_init__(self) -> None:
        if self.site not in SITES:
            raise UnknownCapture(_unknown("site", self.site, SITES))
        if self.reduction not in REDUCTIONS:
            raise UnknownCapture(_unknown("reduction", self.reduction, REDUCTIONS))
        foreign = [axis for axis in self.select.axes if axis not in self.axes]
        if foreign:
            raise BadSelection(
                f"capture '{self}' selects an axis that {self.site} does not have; got {foreign[0]}, "
                f"allowed {', '.join(self.axes)}; leave {foreign[0]} out"
            )

    @classmethod
    def parse(cls, text: str) -> Capture:
        """Read ``site[:reduction][selection]``.

        Examples
        --------
        >>> Capture.parse("block.out:raw[step=0:3,layer=2:5,branch=cond,frame=0]").select.step
        ('0:3',)
        >>> Capture.parse("latent").array
        'latent.raw'
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise UnknownCapture(
                f"capture cannot be read; got {text!r}, allowed SITE:REDUCTION[axis=...]; "
                "write it as in 'block.out:raw[step=0:3,layer=2+5]'"
            )
        return cls(form["site"], form["reduction"] or "raw", Selection.parse(form["selection"] or ""))

    @property
    def array(self) -> str:
        """Name of the array in the store."""
        return f"{self.site}.{self.reduction}"

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that a selection may restrict."""
        site = SITES[self.site]
        return tuple(axis for axis in AXES if axis in (*site.event_dims, *site.value_dims, "expert"))

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the array."""
        site, reduction = SITES[self.site], REDUCTIONS[self.reduction]
        kept = (dim for dim in site.value_dims if reduction.keeps_features or dim != site.feature_dim)
        return (*site.event_dims, *kept)

    def resolve(self, layout: Layout) -> Resolved:
        """Check the selection against a run and give the labels that it chooses.

        Parameters
        ----------
        layout : Layout

        Returns
        -------
        Resolved

        Raises
        ------
        BadSelection
            With the allowed range.
        """
        labels: dict[str, tuple[Term, ...]] = {}
        for dim in self.dims:
            terms = getattr(self.select, dim) if dim in AXES else None
            labels[dim] = pick(dim, terms, layout.labels(dim, self.site), str(self))
        labels["step"] = self._steps(layout, labels["step"])
        return Resolved(self, MappingProxyType(labels))

    def _steps(self, layout: Layout, steps: tuple[Term, ...]) -> tuple[Term, ...]:
        """The chosen steps in which a chosen expert runs."""
        running = tuple(dict.fromkeys(layout.experts))
        experts = pick("expert", self.select.expert, running, str(self))
        kept = tuple(step for step in steps if layout.experts[int(step)] in experts)
        if not kept:
            at = [step for step, expert in enumerate(layout.experts) if expert in experts]
            raise BadSelection(
                f"capture '{self}' chooses no step; got steps {', '.join(map(str, steps))}, "
                f"allowed {at[0]} to {at[-1]} for {', '.join(map(str, experts))}; choose a step in which the "
                f"expert runs"
            )
        return kept

    def __str__(self) -> str:
        return f"{self.site}:{self.reduction}" + (f"[{self.select}]" if self.select.axes else "")


@dataclass(frozen=True)
class Resolved:
    """A capture with the labels of one run: the shape of its array, and every address that must come.

    Attributes
    ----------
    capture : Capture
    labels : mapping of str to tuple
        The labels of every dimension, in the order of the dimensions.
    """

    capture: Capture
    labels: Mapping[str, tuple[Term, ...]]

    @property
    def event_dims(self) -> tuple[str, ...]:
        """The leading dimensions that one event fixes."""
        return SITES[self.capture.site].event_dims

    def events(self, layout: Layout) -> Iterator[tuple[Address, dict[str, Term]]]:
        """Every expected address with the labels that it fills."""
        for labels in product(*(self.labels[dim] for dim in self.event_dims)):
            event = dict(zip(self.event_dims, labels, strict=True))
            step, branch, layer = int(event["step"]), event.get("branch"), event.get("layer")
            yield (
                Address(
                    layout.experts[step],
                    None if branch is None else str(branch),
                    step,
                    None if layer is None else int(layer),
                    self.capture.site,
                ),
                event,
            )


def read_captures(captures: Iterable[Capture | str]) -> tuple[Capture, ...]:
    """Read captures given as text or objects; the same one twice counts once.

    Parameters
    ----------
    captures : iterable of Capture or str

    Returns
    -------
    tuple of Capture

    Raises
    ------
    UnknownCapture
        If there is none, or two of them would fill the same array differently.

    Examples
    --------
    >>> [str(capture) for capture in read_captures(["block.out:energy", "latent"])]
    ['block.out:energy', 'latent:raw']
    """
    if isinstance(captures, (str, Capture)):
        captures = [captures]
    read = tuple(dict.fromkeys(Capture.parse(c) if isinstance(c, str) else c for c in captures))
    if not read:
        raise UnknownCapture("no capture was given; got none, allowed one or more; add one, as in 'block.out:energy'")
    _refuse_twins(read)
    return read


def _refuse_twins(captures: Sequence[Capture]) -> None:
    first: dict[str, Capture] = {}
    for capture in captures:
        twin = first.setdefault(capture.array, capture)
        if twin is not capture:
            raise UnknownCapture(
                f"two captures fill the array {capture.array}; got '{twin}' and '{capture}', allowed one of them; "
                "join their selections with '+'"
            )


def _unknown(what: str, word: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    return f"capture names an unknown {what}; got {word!r}, allowed {', '.join(names)}" + (
        close_match(word, names) or f"; choose a {what} of that list"
    )
