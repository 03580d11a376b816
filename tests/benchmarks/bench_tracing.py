"""How much longer a generation takes when it is traced, against the same generation with nothing attached.

``model`` is the time of the pipeline's call alone, ``clock`` that of the whole trace: the weights' fingerprint, a new
store, the call, and everything written and marked done. Every run must draw the same latents as the plain one, bit for
bit, or the benchmark ends.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from rounds import Action, After, figures, run_rounds, spread, summary
from subjects import Shape, Subject, tiny_wan, untrained

from dit_lens.generation import Result, Size

__all__ = ["measure", "table"]

TARGET = ("energy of all blocks", 1.03)
CAPTURES = {
    "raw of all blocks, to disk": "block.out:raw",
    "raw of all blocks as bits, to disk": "block.out:raw@bits",
    "mean of all blocks": "block.out:mean",
    "gram:64 of all blocks": "block.out:gram:64",
    "project:64 of all blocks": "block.out:project:64",
    "attn1.frames of all layers": "attn1.frames:raw",
}
AT_ONE_THREAD = 5
PAIRS = 3
"""Rounds of what has a target, with nothing but the plain run beside it, for each round of everything."""
QUICK_SIZE = Size(128, 128, 5)
WHATS = ("model", "clock", "processor")

Arm = Callable[[Path], Result]


def traced(subject: Subject, capture: str) -> Arm:
    """A trace of one capture."""
    return lambda folder: subject.lens.trace(subject.request, [capture], folder / "a.zarr", decode=False)


def plain(subject: Subject) -> Arm:
    """Nothing attached."""
    return lambda folder: subject.lens.generate(subject.request, decode=False)


def through_nnsight(subject: Subject) -> Arm:
    """The energy of all blocks by an nnsight block, written as a trace."""

    def block(model: Any, at: Any) -> None:
        for visit in at.visits:
            for layer in at.layers:
                place = at(visit.step, visit.branch, layer)
                place.save("energy", torch.linalg.vector_norm(place.output, dim=-1, dtype=torch.float32))

    def arm(folder: Path) -> Result:
        session = subject.lens.nnsight(subject.request, decode=False)
        session.run(block)
        session.at.write(folder / "a.zarr", "t0")
        return session.at.result

    return arm


def kept_in_memory(subject: Subject) -> Arm:
    """Plain forward hooks that append copies of all block outputs to a list, and no store."""

    def arm(folder: Path) -> Result:
        kept: list[torch.Tensor] = []
        with _hooked(subject, lambda module, args, output: kept.append(output.detach().clone())):
            return subject.lens.generate(subject.request, decode=False)

    return arm


@contextmanager
def _hooked(subject: Subject, hook: Callable[[Any, Any, torch.Tensor], None]) -> Iterator[None]:
    family, pipeline = subject.lens.family, subject.lens.pipeline
    with ExitStack() as stack:
        for denoiser in family.denoisers(pipeline).values():
            for _, _, layer in family.layers(denoiser):
                stack.callback(layer.register_forward_hook(hook).remove)
        yield


def arms_of(subject: Subject) -> dict[str, Arm]:
    """Everything that is compared; the first is the base, the second the target."""
    return {
        "plain": plain(subject),
        TARGET[0]: traced(subject, "block.out:energy"),
        "energy through nnsight": through_nnsight(subject),
        "plain hooks, all blocks in memory": kept_in_memory(subject),
        **{name: traced(subject, capture) for name, capture in CAPTURES.items()},
    }


def measure(folder: Path, quick: bool, seconds: float) -> list[dict[str, Any]]:
    """One section for each model and number of threads: all arms with as many as there are, then some with one.

    Parameters
    ----------
    folder : pathlib.Path
        For the stores; each is deleted after its run.
    quick : bool
        Smaller models, and one round.
    seconds : float
        For all sections together, beyond warming up and the least number of rounds.

    Returns
    -------
    list of dict
    """
    wide = Shape(layers=2, size=QUICK_SIZE) if quick else Shape()
    subjects = ((tiny_wan(2 if quick else 10), 0.3), (untrained("wide untrained Wan", wide, 1 if quick else 2), 0.7))
    least, found = 1 if quick else 2, list[dict[str, Any]]()
    for subject, share in subjects:
        arms = arms_of(subject)
        found.append(_section(subject, arms, folder, torch.get_num_threads(), seconds * share * 0.6, least))
        if torch.get_num_threads() > 1:
            fewer = dict(list(arms.items())[:AT_ONE_THREAD])
            found.append(_section(subject, fewer, folder, 1, seconds * share * 0.4, least))
    return found


def _section(
    subject: Subject, arms: dict[str, Arm], folder: Path, threads: int, seconds: float, least: int
) -> dict[str, Any]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        expected = subject.lens.generate(subject.request, decode=False).latents
        actions = {name: _action(name, arm, folder, expected) for name, arm in arms.items()}
        rounds = run_rounds(actions, seconds / 2, at_least=least, warm_up=threads == before)
        aimed = dict(list(actions.items())[:2])
        pairs = run_rounds(aimed, seconds / 2, at_least=PAIRS * least, warm_up=False)
    finally:
        torch.set_num_threads(before)
    rows = []
    for name in actions:
        of = pairs if name in aimed else rounds
        facts = {what: spread(figures(of, name, what)).median for what in ("waited", "stored")}
        rows.append({**summary(of, "plain", name, WHATS), **facts})
    told = {"model": subject.name, "words": subject.words, "threads": threads}
    return {**told, "rounds": len(rounds), "pairs": len(pairs), "rows": rows}


def _action(name: str, arm: Arm, folder: Path, expected: torch.Tensor) -> Action:
    """Run in a folder of its own, and hold the latents to those of the plain run."""

    def action() -> After:
        target = Path(tempfile.mkdtemp(dir=folder))
        result = arm(target)

        def after() -> dict[str, float]:
            stored = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
            shutil.rmtree(target)
            if not torch.equal(result.latents, expected):
                raise SystemExit(f"bench: '{name}' changed what the model draws; its figures mean nothing")
            return {"model": result.seconds, "waited": result.waited, "stored": float(stored)}

        return after

    return action


def table(sections: list[dict[str, Any]]) -> str:
    """For people: every ratio with its middle half."""
    return "\n\n".join(_section_table(section) for section in sections)


def _section_table(section: dict[str, Any]) -> str:
    words = f"{section['model']} ({section['words']}), threads {section['threads']}, rounds {section['rounds']}, "
    words += f"of the target {section['pairs']}"
    lines = [
        words,
        f"{'':36}{'model':>6}  {'middle half':12} {'whole':>6} {'processor':>10} "
        f"{'seconds':>8} {'waited':>7} {'MB':>7}",
    ]
    for row in section["rows"]:
        model, whole, processor = (row["ratio"][what] for what in WHATS)
        half = f"{model['lower']:.3f}-{model['upper']:.3f}"
        lines.append(
            f"{row['name']:36}{model['median']:6.3f}  {half:12} {whole['median']:6.3f} {processor['median']:10.3f} "
            f"{row['seconds']['model']['median']:8.2f} {row['waited']:7.3f} {row['stored'] / 1e6:7.1f}"
        )
    target = section["rows"][1]["ratio"]["model"]["median"]
    return "\n".join([*lines, f"target: {TARGET[0]} at most {TARGET[1]}; measured {target:.3f}"])
