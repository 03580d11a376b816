"""Attach everything to a pipeline, and take all of it off again, whatever happens in between.

Recorder hooks are ordinary forward hooks that return nothing: they cannot change what flows, and only sites that a
capture asks for get one. ``cache_context`` is wrapped on every denoiser for the branch names, and the scheduler's class
is swapped for the clock (``dit_lens.engine.scheduler``). What the hooks do is in ``dit_lens.engine.watch``. Hooks of
edits are registered before those of the recorder at each module, so that it sees what they left. One exit stack undoes
it all in reverse order, also after an exception, and does not mind if somebody else took a hook off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from dit_lens.adapters.family import Family, Stack
from dit_lens.engine.attention import observed_attention
from dit_lens.engine.between import Between
from dit_lens.engine.clock import Clock
from dit_lens.engine.collector import Collector
from dit_lens.engine.course import PLAIN, PlannedCourse
from dit_lens.engine.editor import Editor
from dit_lens.engine.layout import Layout
from dit_lens.engine.scheduler import observed_scheduler
from dit_lens.engine.watch import Watch

__all__ = ["attached", "named_contexts"]


@contextmanager
def attached(
    pipeline: Any,
    family: Family,
    layout: Layout,
    recorders: Sequence[Collector | None],
    on_step: Callable[[int, int], None] | None = None,
    course: PlannedCourse = PLAIN,
) -> Iterator[Between]:
    """While inside, a call of the pipeline is edited and recorded.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    layout : Layout
    recorders : sequence of Collector or None
        One for every sample of the batch that is recorded.
    on_step : callable, optional
        Called after every step with (steps done, steps).
    course : PlannedCourse
        How the run departs from the plain one.
    """
    watch = Watch(pipeline, family, layout, recorders, on_step)
    editor = Editor(family, layout, course.edits, watch.clock)
    between = Between(pipeline.scheduler, layout, editor, watch.clock, course.course.resets, course.beginning)
    with ExitStack() as stack:
        for expert, denoiser in family.denoisers(pipeline).items():
            stack.enter_context(named_contexts(denoiser, watch.clock))
            stack.enter_context(_hook(denoiser.register_forward_pre_hook(watch.on_call(expert))))
            if editor.wants(None, "view"):
                stack.enter_context(_hook(denoiser.register_forward_pre_hook(editor.on_view, with_kwargs=True)))
            for number, (kind, path, layer) in enumerate(family.layers(denoiser)):
                for context in _edit_hooks(editor, number, kind, layer):
                    stack.enter_context(context)
                for context in _layer_hooks(watch, number, kind, f"{expert}.{path}", layer):
                    stack.enter_context(context)
            if editor.wants(None, "velocity"):
                stack.enter_context(_hook(denoiser.register_forward_hook(editor.on_velocity)))
            stack.enter_context(_hook(denoiser.register_forward_hook(watch.on_velocity)))
        stack.enter_context(between.around(pipeline))
        restart = _in_turn(watch.restart, between.started)
        edits = None if course.course.plain else between
        stack.enter_context(observed_scheduler(pipeline.scheduler, restart, watch.around_step, edits))
        yield between


def _in_turn(*functions: Callable[[], None]) -> Callable[[], None]:
    def call_all() -> None:
        for function in functions:
            function()

    return call_all


def _edit_hooks(editor: Editor, number: int, kind: Stack, layer: Any) -> Iterator[Any]:
    """The hooks of one layer, for the places that are edited in it."""
    if editor.wants(number, "block.out"):
        yield _hook(layer.register_forward_hook(editor.on_output(number, kind, "block.out")))
    for part, path in kind.inside.items():
        if editor.wants(number, f"{part}.out"):
            module = layer.get_submodule(path)
            yield _hook(module.register_forward_hook(editor.on_output(number, kind, f"{part}.out")))


def _layer_hooks(watch: Watch, number: int, kind: Stack, name: str, layer: Any) -> Iterator[Any]:
    """The hooks of one layer, for the sites that are wanted of it."""
    if watch.wants(number, "block.in"):
        yield _hook(layer.register_forward_pre_hook(watch.on_input(number, kind), with_kwargs=True))
    if watch.wants(number, "block.out"):
        yield _hook(layer.register_forward_hook(watch.on_output(number, kind, "block.out")))
    for part, path in kind.inside.items():
        if watch.wants(number, f"{part}.out"):
            module = layer.get_submodule(path)
            yield _hook(module.register_forward_hook(watch.on_output(number, kind, f"{part}.out")))
        wanted = [site for site in kind.heads_of(part) if watch.wants(number, site)]
        if wanted:
            named = f"{name}.{path}"
            yield observed_attention(layer.get_submodule(path), watch.on_attention(number, wanted), named)


@contextmanager
def _hook(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def named_contexts(denoiser: Any, clock: Clock) -> Iterator[None]:
    """Listen to ``cache_context``, where the denoiser has one."""
    stock = getattr(denoiser, "cache_context", None)
    if stock is None:
        yield
        return
    before = denoiser.__dict__.get("cache_context")

    @functools.wraps(stock)
    @contextmanager
    def cache_context(name: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with clock.context(name), stock(name, *args, **kwargs) as value:
            yield value

    denoiser.cache_context = cache_context
    try:
        yield
    finally:
        denoiser.__dict__.pop("cache_context", None)
        if before is not None:
            denoiser.cache_context = before
