"""A condition: everything that all runs of a benchmark share, so that two benchmarks differ in what their names say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dit_lens.generation import GUIDANCE, Generation

if TYPE_CHECKING:
    from dit_lens.bench.questions import Question
    from dit_lens.lens import Lens

__all__ = ["Condition", "describe_bench"]

_OF_RUN = ("prompt", "image_sha256", "seed", "captures")
_AS_ASKED = ("height", "width", "frames")
_LAST = "components_sha256"  # says less of a difference than the configurations that are told in full


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How every question is asked; see ``dit_lens.Generation``.

    Attributes
    ----------
    steps : int
    guidance : float
    guidance_2 : float, optional
    negative_prompt : str
    height, width : int, optional
        By default those of the first frame, which is resized otherwise.
    frames : int, optional
        By default those of the puzzle's own clip; without a puzzle, the model's own.
    extra : mapping of str to object
        Further arguments of the pipeline's call.

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> request = Condition(steps=4).request(puzzle_questions(["maze:plain"], n=1)[0], seed=3)
    >>> request.seed, request.steps, request.frames
    (3, 4, 17)
    """

    steps: int = 20
    guidance: float = GUIDANCE
    guidance_2: float | None = None
    negative_prompt: str = ""
    height: int | None = None
    width: int | None = None
    frames: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def request(self, question: Question, seed: int) -> Generation:
        """What one run asks of the model."""
        from PIL.Image import Resampling

        from dit_lens.puzzles.canvas import FRAMES

        image = question.image()
        size = (self.width or image.width, self.height or image.height)
        image = image if size == image.size else image.resize(size, Resampling.LANCZOS)
        own = FRAMES if question.puzzle is not None else None
        shared = {name: getattr(self, name) for name in type(self).__dataclass_fields__}
        frames = own if self.frames is None else self.frames
        return Generation(prompt=question.prompt, image=image, seed=seed, **{**shared, "frames": frames})


def describe_bench(lens: Lens, question: Question, condition: Condition, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is needed to run a benchmark again but for its questions and seeds, as plain JSON.

    It is the manifest of a run of one question, without what is that question's own; its edits are checked. A size is
    as asked for, because pictures have sizes of their own; of a puzzle, as it comes out.
    """
    from dit_lens.engine.course import Departures
    from dit_lens.engine.plan import plan_layout
    from dit_lens.facts import fact
    from dit_lens.manifest import run_manifest

    request = condition.request(question, 0)
    size = lens.check(request)
    course = {name: value for name, value in options.items() if name in Departures.__annotations__}
    further = {name: value for name, value in options.items() if name not in course}
    departs = {"course": lens.plan_edits(request, **course).facts} if course else {}
    layout = plan_layout(lens.pipeline, lens.family, request, size)
    facts = {**lens.identity, **run_manifest(lens.pipeline, lens.family, request, size, layout, (), **departs)}
    shared = {name: value for name, value in facts.items() if name not in _OF_RUN}
    asked = condition if question.puzzle is None else size
    told = {**shared, **{name: getattr(asked, name) for name in _AS_ASKED}, "options": fact(further)}
    return {name: told[name] for name in sorted(told, key=_LAST.__eq__)}
