"""How a run is watched: a clock for step, expert and branch, hooks on the modules, and a recorder that writes through.

Plain torch forward hooks and a swapped scheduler class are all that touches the pipeline, and both are gone when the
run ends, however it ends. Nothing here knows a model family (``dit_lens.adapters``) or a file format
(``dit_lens_stores``).
"""
