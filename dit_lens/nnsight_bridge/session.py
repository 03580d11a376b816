"""Run a block: as the body of a ``with``, or as a function; plain, or traced with its edits in the trace.

nnsight takes the body of a ``with`` from its source and runs it as code in a worker, so the session is entered like a
tracer of nnsight's: it captures the body, lets Python skip it, and runs it when the ``with`` is left. The run itself is
that of the lens, with everything that a plain run or a trace checks. All modules are wrapped for this one run. A block
cannot be run twice, so that its trace is never resumed: one that was left incomplete is recorded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from dit_lens.captures import Capture, read_captures
from dit_lens.engine.errors import BadBlock, BadRequest, UnsupportedNNsight
from dit_lens.engine.plan import plan_layout
from dit_lens.engine.traceable import check_pipeline
from dit_lens.generation import Generation, Result
from dit_lens.manifest import run_manifest
from dit_lens.nnsight_bridge.identity import Identity, of_body, of_function
from dit_lens.nnsight_bridge.places import At, Place
from dit_lens.nnsight_bridge.watch import ROOT, Watch
from dit_lens.selection import Selection, Term, pick
from dit_lens_stores import Store, create_store

if TYPE_CHECKING:
    from dit_lens.adapters.family import Family
    from dit_lens.engine.layout import Layout
    from dit_lens.lens import Lens

__all__ = ["Session", "check_nnsight", "nnsight_session"]

_SUPPORTED = "0.8."
_ABSENT = object()

Block = Callable[[Place, At], Any]


def check_nnsight(version: str | None = None) -> str:
    """The version of nnsight that is installed, if the bridge works with it.

    Parameters
    ----------
    version : str, optional
        By default that of the installed one.

    Raises
    ------
    UnsupportedNNsight

    Examples
    --------
    >>> check_nnsight("0.9.2")
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.UnsupportedNNsight: nnsight blocks need ...; got 0.9.2, allowed >=0.8,<0.9; pip install ...
    """
    try:
        found = version or metadata.version("nnsight")
    except metadata.PackageNotFoundError:
        found = "none"
    if not found.startswith(_SUPPORTED):
        raise UnsupportedNNsight(
            f"nnsight blocks need a version of nnsight whose workings are known; got {found}, allowed >=0.8,<0.9; "
            "pip install 'nnsight>=0.8,<0.9'"
        )
    return found


def nnsight_session(
    lens: Lens,
    request: Generation,
    *,
    steps: Term | Iterable[Term] | None = None,
    expert: str | None = None,
    captures: Iterable[Capture | str] = (),
    out: str | Path | Store | None = None,
    trace_id: str | None = None,
    decode: bool | None = None,
) -> Session:
    """Prepare an nnsight block against addresses.

    Parameters
    ----------
    lens : Lens
    request : Generation
    steps : int, str, or several, optional
        The steps that the block may address, as in a selection; all by default. All steps run in any case.
    expert : str, optional
        Only the steps of this expert may be addressed.
    captures : iterable of Capture or str
        What to record of the run, with the block's edits in it.
    out : str, pathlib.Path or Store, optional
        Where to; needed with captures.
    trace_id : str, optional
        By default that of the request, with a hash of the block and of the values that it takes from outside.
    decode : bool, optional
        Whether to decode the latents; by default if the family can.

    Returns
    -------
    Session

    Raises
    ------
    UnsupportedNNsight, BadSelection, BadRequest, UnknownCapture, Untraceable
        Before anything is run or written.
    """
    check_nnsight()
    captures = tuple(captures)
    if bool(captures) != (out is not None):
        raise BadRequest(
            f"a trace of an nnsight block needs what to record and where to; got {len(captures)} captures and "
            f"{'no ' if out is None else 'an '}out, allowed both or neither; give captures and out"
        )
    read = read_captures(captures) if captures else ()
    if any(capture.site == "block.in" for capture in read):
        raise BadRequest(
            "block.in cannot be recorded beside an nnsight block, which may edit inputs after the recorder has seen "
            "them; got a capture of block.in, allowed all other sites; record block.out of the layer before"
        )
    layout = _layout(lens, request, read)
    return Session(_Run(lens, request, read, out, trace_id, decode), layout, _steps(layout, steps, expert))


def _layout(lens: Lens, request: Generation, captures: Sequence[Capture]) -> Layout:
    """The layout of the run, with everything checked that can be before it."""
    if captures:
        return lens.plan(request, captures)[1]
    check_pipeline(lens.pipeline, lens.family)
    return plan_layout(lens.pipeline, lens.family, request, lens.check(request))


def _steps(layout: Layout, steps: Term | Iterable[Term] | None, expert: str | None) -> tuple[int, ...]:
    """The steps that a block may address."""
    terms = None if steps is None else Selection(step=steps).step  # type: ignore[arg-type]
    chosen = [int(step) for step in pick("step", terms, range(layout.steps), "nnsight")]
    if expert is not None:
        pick("expert", (expert,), tuple(dict.fromkeys(layout.experts)), "nnsight")
        chosen = [step for step in chosen if layout.experts[step] == expert]
    return tuple(chosen)


@dataclass(frozen=True)
class _Run:
    """The run of a block: plain, or traced with the block in the manifest."""

    lens: Lens
    request: Generation
    captures: Sequence[Capture]
    out: str | Path | Store | None
    trace_id: str | None
    decode: bool | None

    def __call__(self, block: Identity) -> Result:
        if self.out is None:
            return self.lens.generate(self.request, decode=self.decode)
        store = self.out if isinstance(self.out, Store) else create_store(self.out)
        name = self.trace_id or f"{self.lens.default_trace_id(self.request)}-nnsight-{block.sha256[:8]}"
        notes = self.notes(block)
        return self.lens.trace(
            self.request, self.captures, store, trace_id=name, decode=self.decode, notes=notes, resume=False
        )

    def notes(self, block: Identity) -> dict[str, Any]:
        """What a manifest says of the block."""
        return {"nnsight": {"version": check_nnsight(), **block.notes}}

    def manifest(self, layout: Layout, block: Identity) -> dict[str, Any]:
        """The manifest of what the block saved."""
        lens, size = self.lens, self.lens.check(self.request)
        facts = run_manifest(lens.pipeline, lens.family, self.request, size, layout, ())
        return {**self.notes(block), **lens.identity, **facts}


class Session:
    """One nnsight block on one generation.

    The body of ``with session as (model, at):`` runs while the model runs. Where nnsight cannot read the source of a
    body (at a prompt, in ``exec``), write it as a function and hand it to ``run``.

    Attributes
    ----------
    at : At or None
        That of the last block.

    Examples
    --------
    >>> with lens.nnsight(request) as (model, at):  # doctest: +SKIP
    ...     for here in at.each(branch="cond", layer=4):
    ...         here.output[:] *= 0.5
    ...     last = at(-1, "cond", 9).save("block.out")
    >>> at.result.latents, at.saved  # doctest: +SKIP
    """

    def __init__(self, run: _Run, layout: Layout, steps: tuple[int, ...]) -> None:
        self.at: At | None = None
        self._run, self._layout, self._steps = run, layout, steps
        self._stack = ExitStack()
        self._tracer: Any = None

    def __enter__(self) -> tuple[Place, At]:
        from nnsight.tracing.tracer import Tracer, WithBlockNotFoundError, skip_context, skippable

        tracer = Tracer(backend=self._run_body)
        try:
            tracer.capture()  # like skip_context it looks two frames up: neither can be called from a helper
            model, at = self._open()
            if skippable(tracer.node):
                skip_context(tracer)
        except (WithBlockNotFoundError, ValueError, SyntaxError) as error:
            self._stack.close()
            raise _unreadable(error) from error
        self._tracer = tracer
        return model, at

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        with self._stack:
            tracer, self._tracer = self._tracer, None
            return bool(tracer.__exit__(kind, error, traceback))

    def run(self, block: Block) -> Any:
        """Run a block that is written as a function.

        Parameters
        ----------
        block : callable
            Called with (model, at) while the model runs.

        Returns
        -------
        What the block returns; what the run gave is in ``at``.

        Examples
        --------
        >>> session.run(lambda model, at: at(3, "cond", 4).output.norm())  # doctest: +SKIP
        """
        from nnsight.tracing.tracer import dec, inc

        with self._stack:
            model, at = self._open()
            code = compile("value = block(model, at)", "<nnsight block>", "exec")
            inc()  # so that a .save() of nnsight's is as harmless here as it is in a with
            try:
                return self._drive(code, {}, {"block": block, "model": model, "at": at}, of_function(block))["value"]
            finally:
                dec()

    def _open(self) -> tuple[Place, At]:
        """Wrap the modules until the stack is closed."""
        pipeline, family = self._run.lens.pipeline, self._run.lens.family
        model = self._stack.enter_context(_wrapped(_components(pipeline, family)))
        watch = Watch(pipeline, family, self._layout, model.interleaver)
        self.at = At(self._layout, family, self._steps, watch, model)
        return Place(model, watch), self.at

    def _run_body(self, tracer: Any) -> None:
        """What nnsight calls when the ``with`` is left: run the body, and bind its names where it stands."""
        from nnsight.tracing.util import push

        frame = tracer.info.frame
        names, scope = frame.f_globals, dict(frame.f_locals)
        block = of_body(tracer.node.body, names, scope)
        push(frame, self._drive(tracer.info.code, names, scope, block).writes())

    def _drive(self, code: Any, names: dict[str, Any], scope: dict[str, Any], block: Identity) -> Any:
        """Run the pipeline with the code as nnsight's worker; give the names that it bound."""
        from nnsight.intervention.interleaver import Mediator

        assert self.at is not None
        worker, watch = Mediator(code, names, scope), self.at._watch
        with watch.attached(worker):
            with watch.interleaver:
                self.at.result = self._run(block)
            watch.finish()
        self.at._manifest = partial(self._run.manifest, self._layout, block)
        return worker.lcls


@contextmanager
def _wrapped(components: torch.nn.Module) -> Iterator[Any]:
    """A view of some modules as nnsight gives it, without what it would leave on them."""
    from nnsight import NNsight
    from nnsight.intervention.source import STATE, Controller

    unwrapped = [module for module in components.modules() if STATE not in vars(module)]
    before = [(module, vars(module).get("forward", _ABSENT)) for module in unwrapped]
    try:
        yield NNsight(components, path=ROOT)
    finally:
        for module, forward in before:
            vars(module).pop(STATE, None)
            if not isinstance(vars(module).get("forward"), Controller):  # something else has taken its place since
                continue
            del module.forward
            if forward is not _ABSENT:
                module.forward = forward


def _components(pipeline: Any, family: Family) -> torch.nn.Module:
    """All modules of a pipeline by their names; denoisers as hooks see them, out of a compiled shell."""
    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    return torch.nn.ModuleDict({**parts, **family.denoisers(pipeline)})


def _unreadable(error: Exception) -> BadBlock:
    reason = str(error).splitlines()[0].rstrip(".")
    return BadBlock(
        f"the nnsight block cannot be run from its source; got: {reason}, allowed a with body in a file or a notebook "
        "that starts on a line of its own and not with try; or write it as a function for session.run"
    )
