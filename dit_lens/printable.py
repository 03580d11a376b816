"""Text from anywhere, so that it can be shown: what acts on a terminal, or turns and hides what follows, is escaped.

Names and prompts of a store may come from anybody. Characters that control, format or end lines are written as Python
writes them; those that join characters of a word stay.
"""

from __future__ import annotations

from unicodedata import category

__all__ = ["printable"]

_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, formatting, half characters, ends of lines
_JOINERS = "\u200c\u200d"  # in words of many languages, and in emoji


def printable(text: str, allowed: str = "") -> str:
    r"""Return the text with every character that acts written as Python writes it.

    Parameters
    ----------
    text : str
    allowed : str
        Characters that stay although they act.

    Returns
    -------
    str

    Examples
    --------
    >>> printable("two\nlines"), printable("two\nlines", "\n")
    ('two\\nlines', 'two\nlines')
    """
    return "".join(sign if sign in allowed or not _acts(sign) else _escape(sign) for sign in text)


def _acts(sign: str) -> bool:
    return category(sign) in _ACTING and sign not in _JOINERS


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
