"""How the documentation is built: `make docs`."""

project = "dit-lens"
author = "The dit-lens authors"
extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
exclude_patterns = ["_build", "jupyter_execute"]
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_render_markdown_format = "myst"
nb_output_stderr = "remove"  # warnings of libraries, with paths of the machine that built the page
suppress_warnings = ["myst.xref_missing"]  # the README links to files of the repository
