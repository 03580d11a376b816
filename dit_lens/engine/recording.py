"""Begin the traces of one run, resume those that were begun before, and begin anew what another run began.

A run that resumes a trace is compared with the one that began it by the latents of every step (``TraceWriter`` of the
store). On the first difference the two must not become one trace: the trace is deleted, and the run starts again and
records all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dit_lens.engine.run import Outcome
from dit_lens_stores import ArraySpec, Coordinate, OtherRun, Store, TraceWriter
from dit_lens_stores.latents import latent_coordinate
from dit_lens_stores.log import add_to_log

__all__ = ["Recording"]


@dataclass
class Recording:
    """The traces that one run writes.

    Parameters
    ----------
    store : Store
    ids : sequence of str
    arrays : sequence of ArraySpec
    coordinates : sequence of Coordinate
    manifests : sequence of mapping
        One for every trace.
    resume : bool
        Whether to go on with a trace that was begun before, and so to run twice if it is another run's.
    """

    store: Store
    ids: Sequence[str]
    arrays: Sequence[ArraySpec]
    coordinates: Sequence[Coordinate]
    manifests: Sequence[Mapping[str, Any]]
    resume: bool = True
    anew: dict[str, str] = field(default_factory=dict)

    def run(self, run: Callable[[Sequence[TraceWriter]], Outcome]) -> tuple[Outcome, dict[str, str]]:
        """Run, a second time if a trace that was resumed turns out to be of another run.

        Parameters
        ----------
        run : callable
            Takes a writer for every trace.

        Returns
        -------
        tuple of Outcome and dict
            And why a trace was recorded anew, by its id.
        """
        while True:
            writers = self._begin()
            self.anew |= {writer.trace_id: writer.anew for writer in writers if writer.anew}
            try:
                outcome = run(writers)
            except OtherRun as error:
                if not self._note_others(writers, str(error)):
                    raise
            else:
                self._log(outcome)
                return outcome, self.anew

    def _begin(self) -> list[TraceWriter]:
        writers: list[TraceWriter] = []
        known = [*self.coordinates, latent_coordinate()]
        try:
            for trace_id, manifest in zip(self.ids, self.manifests, strict=True):
                resume = self.resume and trace_id not in self.anew
                writers.append(self.store.begin(trace_id, self.arrays, known, manifest, resume=resume))
        except BaseException as error:
            for writer in writers:
                writer.fail(f"another trace of the run could not be begun: {type(error).__name__}")
            raise
        return writers

    def _note_others(self, writers: Sequence[TraceWriter], reason: str) -> int:
        """Note whose trace another run began; returns how many there are."""
        others = [writer.trace_id for writer in writers if writer.differs]
        for trace_id in others:
            self.anew[trace_id] = reason
            add_to_log(self.store.path, "anew", trace=trace_id, reason=reason)
        return len(others)

    def _log(self, ran: Outcome) -> None:
        """What depends on the clock is kept beside the store."""
        facts = {"seconds": round(ran.seconds, 3), "waited": round(ran.waited, 3), "bytes": ran.bytes}
        rate = {"bytes_per_second": round(ran.bytes / ran.seconds)} if ran.seconds else {}
        for trace_id in self.ids:
            add_to_log(self.store.path, "ran", trace=trace_id, **facts, **rate, traces=len(self.ids))
