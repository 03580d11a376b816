"""The anatomy of tiny-wan: what the shipped model does with every kind of puzzle, measured and drawn by one command.

``make anatomy`` measures (``parts``, one module each), writes what it found as JSON to ``docs/tiny-wan``, draws the
figures of ``docs/images`` from it and fills the page ``docs/tiny-wan.md`` from its template. No number of the page is
written by hand, and what is said about a number does not depend on how it comes out.
"""
