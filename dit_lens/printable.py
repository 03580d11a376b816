"""Text from anywhere, so that it can be shown; see ``dit_lens_stores.printable``, which stores use as well."""

from dit_lens_stores.printable import printable

__all__ = ["printable"]
