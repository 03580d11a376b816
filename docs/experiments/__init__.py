"""The experiments of the paper on ``tiny-wan``: commands, what they found, and the pages about it. See ``__main__``."""
