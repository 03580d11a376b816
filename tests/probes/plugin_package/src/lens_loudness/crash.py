"""A probe that cannot be imported: its author forgot a dependency."""

import a_module_that_nobody_has  # noqa: F401


class Crash:
    name = "crash"
