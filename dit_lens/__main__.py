"""``python -m dit_lens`` is the ``dit-lens`` command."""

from dit_lens.cli import main

if __name__ == "__main__":
    main()
