"""nnsight blocks against addresses: the right visit of the right expert, or an error that says why not.

nnsight runs the body of a ``with`` in a worker, in step with the model: the worker waits at a module until the model
gets there. It knows a place by module and number of visits, and that number is no step: guidance visits a module
twice a step, the second expert counts from 0 again, and what ``.source`` reaches is counted from when it was first
asked for. So the bridge does the counting. ``at(step, branch, layer)`` gives a view of the model that is tied to one
call of one denoiser, taken from the layout of the run; every value asked through it waits for that call and no other,
and when the call comes, its expert, branch and timestep are compared with the plan. What is asked too late or never
comes raises. The number of steps is always the request's.

Names that the block binds are bound after it, as in plain Python; nothing needs ``.save()``. Recorder hooks run
outside nnsight, so a trace of the run shows its edits. The wrapping that nnsight leaves on every module is taken off
again when the block ends.

Importing nnsight has effects on the whole process that cannot be taken back: every object gets a ``save`` attribute,
``Tensor.backward`` is wrapped (a plain call still does what it did), and ``-v`` among the program's arguments turns its
long tracebacks on. This package therefore imports it only when a block is about to run.
"""

from __future__ import annotations

from dit_lens.nnsight_bridge.places import At, Place
from dit_lens.nnsight_bridge.session import Session, check_nnsight, nnsight_session
from dit_lens.nnsight_bridge.visits import Visit, plan_visits

__all__ = ["At", "Place", "Session", "Visit", "check_nnsight", "nnsight_session", "plan_visits"]
