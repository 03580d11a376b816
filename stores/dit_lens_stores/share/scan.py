"""Look for what should not be published: keys and passwords, the name of whoever traced, the host, absolute paths.

Looked through is all that a store says in words: the metadata of groups and arrays with the manifests, the names, and
the coordinates that hold words. Values of activations are numbers and are not looked at. What is found is named by its
place and shown by its first letters only, so that the message can be pasted somewhere without giving it away.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_lens_stores.errors import Corrupt, StoreError, few
from dit_lens_stores.opening import StoreReader
from dit_lens_stores.share.files import File

__all__ = ["Finding", "PrivateContent", "check_private", "find_private", "names_of_this_machine"]

_START = r"(?<![A-Za-z0-9])"  # not \b: a name may come before, as in TOKEN_hf_...
_SECRETS = {
    "a Hugging Face token": _START + r"hf_[A-Za-z0-9]{20,}",
    "an AWS access key": _START + r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])",
    "a GitHub token": _START + r"(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})",
    "a GitLab token": _START + r"glpat-[\w-]{20,}",
    "an API key": _START
    + r"(?:sk-[A-Za-z0-9_-]{20,}|[rs]k_(?:live|test)_[A-Za-z0-9]{10,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35})",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a signed token": _START + r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+",
    "a bearer token": r"(?i:\bbearer)\s+(?:(?=\S*\d)\S{16,}|\S{24,})",
    "an address with a password": r"\b\w+://[^\s/:@]+:[^\s/@]+@",
    "an e-mail address": r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b",
    # not what a capture says of its encoding, and not a revision
    "a user at a host": r"(?<![\w./:+-])[A-Za-z][\w.-]*@(?!(?:b?float\d+|bits|bitround|exact|main|[0-9a-f]{7,64})\b)"
    r"[A-Za-z][\w-]*(?![\w-]|\.\w)",
    # after an equals sign whatever is long enough, after a colon, as in a sentence, only with a digit in it
    "a password": r"(?i:secret|passw(?:or)?d|signature|api[_-]?key)(?:[_-]\w+)?[\"']?\s*"
    r"(?:=\s*|:\s*(?=[^\s,;&\]]*\d))[^\s,;&\]]{6,}",
    # a selection such as token=0:100 is none, so there must be a letter
    "a token": r"(?i:token)(?:[_-]\w+)?[\"']?\s*(?:=\s*|:\s*(?=[^\s,;&\]]*\d))(?=[^\s,;&\]]*[A-Za-z])[^\s,;&\]]{6,}",
    "an absolute path": r"(?<![\w/.~<])/(?:[\w.+@-]+/)+[\w.+@-]+|(?<![\w:/.~<])//+(?:[\w.+@-]+/)+[\w.+@-]+|\bfile://\S+"
    r"|(?<!\w)~[\w.-]*/[\w.+-]+|(?<![A-Za-z0-9])[A-Za-z]:(?:\\{1,2}|/)\w|(?<![\w\\])\\\\[\w.$-]+\\+\w",
}
_PATTERNS = {what: re.compile(pattern) for what, pattern in _SECRETS.items()}
_GENERIC = {"root", "user", "admin", "ubuntu", "debian", "runner", "jovyan", "nobody", "test", "localhost", "docker"}
"""Names that thousands of machines have: they tell nothing, and stand in many a prompt."""
_SHORTEST, _SHOWN, _LETTERS = 3, 3, 6


class PrivateContent(StoreError):
    """A store holds what should not be published.

    Examples
    --------
    >>> PrivateContent.exit_code
    2
    """


@dataclass(frozen=True)
class Finding:
    """Something that should not be published.

    Attributes
    ----------
    place : str
        The file, and inside it the keys that lead there.
    what : str
    text : str
        Its first letters.
    """

    place: str
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.what} '{self.text}' in {self.place}"


def check_private(store: StoreReader, files: Iterable[File]) -> None:
    """Refuse a store that holds what should not be published.

    Parameters
    ----------
    store : Store
    files : iterable of File
        Its files.

    Raises
    ------
    PrivateContent

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> check_private(store, [File("t0/zarr.json", data=b'{"attributes": {"manifest": {"data": "/home/mo/x"}}}')])
    Traceback (most recent call last):
    ...
    dit_lens_stores.share.scan.PrivateContent: push refused ...; got an absolute path '/home/...' in ...
    """
    found = [*find_private(files), *_in_coordinates(store)]
    if not found:
        return
    raise PrivateContent(
        f"push refused '{store.url}'; got {few(found, _SHOWN)}, allowed nothing private; take "
        f"it out and trace again, or push knowingly with --allow-private"
    )


def find_private(files: Iterable[File], names: Mapping[str, str] | None = None) -> list[Finding]:
    """Find what should not be published in the metadata and the names of files.

    Parameters
    ----------
    files : iterable of File
    names : mapping of str to str, optional
        Words that tell who traced where, with what they are; by default those of this machine.

    Returns
    -------
    list of Finding

    Examples
    --------
    >>> find_private([File("t0/zarr.json", data=b'{"prompt": "ada draws"}')], {"ada": "the user name"})
    [Finding(place='t0/zarr.json: prompt', what='the user name', text='ada')]
    """
    patterns = _PATTERNS | _word_patterns(names_of_this_machine() if names is None else names)
    found: list[Finding] = []
    folders: set[str] = set()
    for file in files:
        folders.add(file.key.partition("/c/")[0])
        if file.key.endswith("zarr.json"):
            for where, text in _words_of(file):
                found += _search(patterns, f"{file.key}: {where}".rstrip(": "), text)
    for name in sorted(folders):
        found += _search(patterns, f"the name '{name}'", name.replace("/", " "))
    return found


def names_of_this_machine() -> dict[str, str]:
    """The words that tell who traced, and where.

    Examples
    --------
    >>> "root" in names_of_this_machine()
    False
    """
    users = {_user(), Path.home().name, os.environ.get("SUDO_USER", ""), os.environ.get("LOGNAME", "")}
    hosts = {platform.node(), platform.node().partition(".")[0]}
    named = dict.fromkeys(hosts, "the host name") | dict.fromkeys(users, "the user name")
    return {name: what for name, what in named.items() if len(name) >= _SHORTEST and name.lower() not in _GENERIC}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a number without a name, as in some containers
        return ""


def _word_patterns(names: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    patterns: dict[str, list[str]] = {}
    for name, what in names.items():
        patterns.setdefault(what, []).append(re.escape(name))
    return {
        what: re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(some)})(?![A-Za-z0-9])", re.IGNORECASE)
        for what, some in patterns.items()
    }


def _search(patterns: Mapping[str, re.Pattern[str]], place: str, text: str) -> list[Finding]:
    found = ((what, pattern.search(text)) for what, pattern in patterns.items())
    return [Finding(place, what, _first_letters(match[0])) for what, match in found if match]


def _first_letters(text: str) -> str:
    return text if len(text) <= _LETTERS else text[:_LETTERS] + "..."


def _words_of(file: File) -> list[tuple[str, str]]:
    try:
        return list(_words(json.loads(b"".join(file.blocks()))))
    except (ValueError, RecursionError) as error:
        raise Corrupt(
            f"looking for what is private failed in '{file.key}'; got {type(error).__name__}, allowed JSON of a few "
            f"levels; trace it again, or delete the file if nothing belongs to it"
        ) from None


def _words(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a JSON object with the keys that lead to it; the keys are texts as well."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield where, str(key)
            yield from _words(value, f"{where}.{key}".lstrip("."))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _words(value, f"{where}[{number}]")
    elif isinstance(node, str):
        yield where, node


def _in_coordinates(store: StoreReader) -> list[Finding]:
    patterns = _PATTERNS | _word_patterns(names_of_this_machine())
    found = []
    for trace in store.traces:
        coords = store.get(trace, partial=True).dataset.coords
        for name, values in coords.items():
            words = {str(value) for value in values.values} if values.dtype.kind in "OUT" else set()
            found += [one for word in sorted(words) for one in _search(patterns, f"{trace}/{name}", word)]
    return found
