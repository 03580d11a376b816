"""The clock: at any moment of a run it knows step, expert and branch, from what the pipeline itself does.

``scheduler.set_timesteps`` starts it and every ``scheduler.step`` moves it on; a denoiser's call says which expert
runs, and ``cache_context(name)`` which branch (the order of the calls where a pipeline opens no context). The
pipeline's current timestep is compared with the planned ones, so a step that was passed over keeps its number and
shows up as missing, and one that comes twice is noticed at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from dit_lens.address import Address
from dit_lens.engine.errors import UnexpectedVisit
from dit_lens.engine.layout import Layout
from dit_lens_stores.errors import few

__all__ = ["Clock", "Row"]

Row = tuple[str, int]
"""Branch and sample of one row of a denoiser's batch."""
_BATCHED = ("uncond", "cond")
"""Branches in the order in which they are rows of one batch."""
_ANONYMOUS = (None, "cond_uncond")
"""Contexts that name no branch: none at all, and that of pipelines that batch the branches when there are two."""
_NO_NAMES: Mapping[str, str] = MappingProxyType({})
_LISTED = 6


class Clock:
    """Step, expert and branch of a run.

    Parameters
    ----------
    layout : Layout
    batched : bool
        Whether the branches are rows of one batch.
    contexts : mapping of str to str
        Branch by the name of a context, where that is not the branch's own.

    Attributes
    ----------
    step : int
        The step that runs, or is about to.
    expert : str or None
        The denoiser that ran last in this step.
    rows : tuple of (str, int)
        Branch and sample of every row of the batch in the denoiser's call.

    Examples
    --------
    >>> steps = {"experts": ("transformer",) * 2, "timesteps": (9.0, 4.0), "sigmas": (0.9, 0.4)}
    >>> sizes = {"layers": 1, "tokens": (1, 1, 1), "channels": 8, "latent": (4, 1, 1, 1), "video": (1, 8, 8)}
    >>> layout = Layout(branches=("cond",), dtype="float32", **steps, **sizes)
    >>> clock = Clock(layout)
    >>> clock.enter("transformer", 4.0)  # step 0 was passed over
    >>> clock.step, clock.rows
    (1, (('cond', 0),))
    """

    def __init__(self, layout: Layout, *, batched: bool = False, contexts: Mapping[str, str] = _NO_NAMES) -> None:
        self._layout = layout
        self._batched = batched and set(_BATCHED) <= set(layout.branches)
        self._contexts = contexts
        self._context: str | None = None
        self._timesteps = layout.timesteps or ()
        self.restart()

    def restart(self, timesteps: Sequence[float] | None = None) -> None:
        """Go back to step 0, as ``set_timesteps`` does; adopt its timesteps if they were not known before.

        A pipeline that starts from a video leaves out the first ones.
        """
        if timesteps is not None and self._layout.timesteps is None:
            self._timesteps = tuple(timesteps[-self._layout.steps :])
        self.step = 0
        self.expert: str | None = None
        self.rows: tuple[Row, ...] = ()
        self._calls = 0

    def advance(self) -> None:
        """Move on to the next step."""
        self.step += 1
        self.expert = None
        self.rows = ()
        self._calls = 0

    def enter(self, expert: str, timestep: float | None) -> None:
        """A denoiser is called."""
        self.follow(timestep)
        self.expert = expert
        samples = range(self._layout.batch)
        self.rows = tuple((branch, sample) for branch in self._branches() for sample in samples)
        self._calls += 1

    def follow(self, timestep: float | None) -> None:
        """Check the step against the pipeline's timestep, and catch up if steps were passed over.

        Raises
        ------
        UnexpectedVisit
            If the timestep is over, or was never planned.
        """
        steps = [step for step, planned in enumerate(self._timesteps) if planned == timestep]
        ahead = [step for step in steps if step >= self.step]
        if ahead:
            self.step = ahead[0]
        elif timestep is not None and not steps:
            planned = few((f"{one:g}" for one in self._timesteps), _LISTED)
            raise UnexpectedVisit(
                f"the run came to a timestep that was not planned at {self.address(None, None, 'scheduler.step')}; got "
                f"{timestep}, allowed {planned}; let the pipeline set its timesteps from the number of steps alone"
            )
        elif steps or self.step >= self._layout.steps:
            step = steps[-1] if steps else self._layout.steps - 1
            at = Address(self._layout.experts[step], None, step, None, "scheduler.step")
            raise UnexpectedVisit(
                f"the run came to a step that is over; got {at} again at timestep {timestep}, allowed each of the "
                f"{self._layout.steps} steps once; call the pipeline with nothing that repeats steps"
            )

    @contextmanager
    def context(self, name: str) -> Iterator[None]:
        """While the pipeline is inside ``cache_context(name)``."""
        before, self._context = self._context, name
        try:
            yield
        finally:
            self._context = before

    def check_rows(self, rows: int) -> None:
        """Refuse a batch with rows that no branch of a sample explains.

        Raises
        ------
        UnexpectedVisit
        """
        if rows != len(self.rows):
            known = ", ".join(f"{branch} of sample {sample}" for branch, sample in self.rows)
            at = self.address(None, None, "velocity")
            raise UnexpectedVisit(
                f"the batch does not fit the branches at {at}; got {rows} rows, "
                f"allowed {len(self.rows)} ({known}); generate one video at a time, or trace a batch of requests"
            )

    def address(self, branch: str | None, layer: int | None, site: str) -> Address:
        """The address of something that happens now."""
        return Address(self.expert or "?", branch, self.step, layer, site)

    def _branches(self) -> tuple[str, ...]:
        branches, name = self._layout.branches, self._contexts.get(self._context or "", self._context)
        if self._batched and self._calls == 0:
            return _BATCHED
        if name in branches:
            return (name,)
        if name in _ANONYMOUS and not self._batched and self._calls < len(branches):
            return (branches[self._calls],)
        raise UnexpectedVisit(
            f"the run came to an unplanned branch at {self.address(None, None, 'velocity')}; got "
            f"{name or f'call {self._calls + 1} of the step'}, allowed {', '.join(branches)}; the adapter must "
            f"name all branches"
        )
