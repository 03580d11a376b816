"""Text from anywhere, made safe to look at: what would act on a terminal or hide what follows is written as an escape.

A manifest may come from a stranger. Its words go to terminals, log files and notebooks, where control characters move
cursors, and the marks of writing directions show a name as another one.
"""

from __future__ import annotations

from unicodedata import category

__all__ = ["printable"]

_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, formatting, half characters, ends of lines
_JOINERS = "\u200c\u200d"  # in words of many languages, and in emoji


def printable(text: str, allowed: str = "") -> str:
    r"""Write control characters, and those that turn or hide what follows, as Python does.

    Parameters
    ----------
    text : str
    allowed : str
        Characters that stay as they are, such as the end of a line.

    Returns
    -------
    str

    Examples
    --------
    >>> print(printable("red \x1b[31m, turned \u202e", allowed="\n"))
    red \x1b[31m, turned \u202e
    """
    return "".join(sign if sign in allowed or not _acts(sign) else _escape(sign) for sign in text)


def _acts(sign: str) -> bool:
    return category(sign) in _ACTING and sign not in _JOINERS


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
