"""A dataset repository of the Hugging Face Hub as a target.

Files go up in commits of a few hundred: values first, then everything small with the root last. The Hub keeps the
sha256 of large files and git's hash of small ones, so what an interrupted push has committed is known and not sent
again; what it has sent and not committed is known to the Hub, which then does not ask for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, NamedTuple

from dit_lens_stores.errors import DitLensError, StoreError, Unreachable
from dit_lens_stores.remote import HubPlace
from dit_lens_stores.share.files import File, total
from dit_lens_stores.share.retrying import again
from dit_lens_stores.share.targets import Found, Target, Tell, failed, no_access

__all__ = ["HubTarget", "Repository", "repository_of"]

COMMIT_FILES = 256
_URL = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@(refs/(?:convert|pr)/[^/]+|[^/]+))?(?:/(.+))?")
_LIMIT = 64 * 2**20
_BUSY = (408, 409, 412, 429, 500, 502, 503, 504)  # 409, 412: another commit came in between


class Repository(NamedTuple):
    """The parts of an address: ``OWNER/NAME``, the branch, and the folder without slashes around it."""

    repo: str
    revision: str
    folder: str


def repository_of(url: str) -> Repository:
    """Read the address of a dataset repository.

    Parameters
    ----------
    url : str

    Returns
    -------
    Repository

    Raises
    ------
    StoreError

    Examples
    --------
    >>> repository_of("hf://datasets/me/traces@v1/a.zarr")
    Repository(repo='me/traces', revision='v1', folder='a.zarr')
    """
    parts = _URL.fullmatch(url.rstrip("/"))
    if parts is None:
        raise StoreError(
            f"push cannot reach '{url}'; got another form of address, allowed "
            f"hf://datasets/OWNER/NAME[@REVISION][/FOLDER]; correct it"
        )
    return Repository(parts[1], parts[2] or "main", parts[3] or "")


class HubTarget(Target):
    """A dataset repository, or a folder of one.

    Parameters
    ----------
    url : str
        ``hf://datasets/OWNER/NAME[@REVISION][/FOLDER]``; a revision that is pushed to is a branch.
    revision : str, optional
        Read this commit instead.
    private : bool
        Make a repository that is not there yet a private one.

    Examples
    --------
    >>> HubTarget("hf://datasets/me/traces/a.zarr").name
    'hf://datasets/me/traces/a.zarr'
    """

    atomic: ClassVar[bool] = True

    def __init__(self, url: str, revision: str | None = None, private: bool = False) -> None:
        self.name, self._private, self._commit = url.rstrip("/"), private, None
        self._repo, branch, self._folder = repository_of(url)
        self._revision = revision or branch

    @property
    def revision(self) -> str | None:
        """The commit that the last file came with, or that the branch points to."""
        if self._commit is None:
            info = self._call(lambda: self._api.repo_info(self._repo, repo_type="dataset", revision=self._revision))
            self._commit = info.sha
        return self._commit

    def prepare(self) -> None:
        """Make the repository and the branch unless they are there."""
        options: dict[str, Any] = {"repo_type": "dataset", "exist_ok": True}
        self._call(lambda: self._api.create_repo(self._repo, private=self._private, **options))
        if self._revision != "main":
            self._call(lambda: self._api.create_branch(self._repo, branch=self._revision, **options))

    def files(self) -> dict[str, Found]:  # noqa: D102
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            listed = self._call(self._list)
        except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError):
            return {}
        return {path.removeprefix(self._prefix): found for path, found in listed.items()}

    def read(self, key: str) -> bytes | None:  # noqa: D102
        folder = f"/{self._folder}" if self._folder else ""
        return HubPlace(f"hf://datasets/{self._repo}@{self._revision}{folder}").read(key, _LIMIT)

    def holds(self, file: File, found: Found) -> bool:  # noqa: D102
        if found.size != file.size or found.digest is None:
            return False
        kind, _, digest = found.digest.partition(":")
        return digest == (file.sha256 if kind == "sha256" else _git_hash(file))

    def send(self, files: Sequence[File], tell: Tell) -> None:  # noqa: D102
        for at in range(0, len(files), COMMIT_FILES):
            some = files[at : at + COMMIT_FILES]
            self._commit = self._call(partial(self._send, some))
            tell(total(some))

    @cached_property
    def _api(self) -> Any:
        from huggingface_hub import HfApi
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        disable_progress_bars()  # the caller has its own
        return HfApi(library_name="dit-lens")

    @property
    def _prefix(self) -> str:
        return f"{self._folder}/" if self._folder else ""

    def _list(self) -> dict[str, Found]:
        tree = self._api.list_repo_tree(
            self._repo, self._folder or None, recursive=True, repo_type="dataset", revision=self._revision
        )
        return {entry.path: Found(entry.size, _digest(entry)) for entry in tree if hasattr(entry, "size")}

    def _send(self, files: Sequence[File]) -> str:
        from huggingface_hub import CommitOperationAdd

        done = self._api.create_commit(
            self._repo,
            [CommitOperationAdd(self._prefix + file.key, file.path or file.data) for file in files],
            commit_message=f"dit-lens store push: {len(files)} files, up to {files[-1].key}",
            repo_type="dataset",
            revision=self._revision,
        )
        return str(done.oid)

    def _call(self, function: Callable[[], Any]) -> Any:
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError

        try:
            return again(function, _passing)
        except (EntryNotFoundError, RevisionNotFoundError):
            raise
        except HfHubHTTPError as error:
            self._refuse(error)
        except DitLensError:
            raise
        except Exception as error:
            if type(error).__name__ == "OfflineModeIsEnabled":
                raise Unreachable(
                    f"push to '{self.name}' is off; got HF_HUB_OFFLINE in the environment, allowed none; unset it"
                ) from None
            if "oken" in type(error).__name__:  # LocalTokenNotFoundError
                raise no_access(self.name, "no token", _LOG_IN) from None
            raise failed(self.name, error.__cause__ or error) from None  # the client says which file, its cause why

    def _refuse(self, error: Any) -> None:
        from huggingface_hub.errors import RepositoryNotFoundError

        status = _status(error)
        if status in (401, 403):
            raise no_access(self.name, f"HTTP status {status}", _LOG_IN) from None
        if isinstance(error, RepositoryNotFoundError):
            raise error
        if status == 429:
            raise Unreachable(
                f"push to '{self.name}' stopped; got the Hub's rate limit, allowed fewer requests; wait "
                f"{_wait(error) or 300:.0f} seconds and run the same command again, it goes on where it stopped"
            ) from None
        raise failed(self.name, error) from None


_LOG_IN = "run hf auth login, or set HF_TOKEN to a token that may write"


def _passing(error: Exception) -> float | None:
    """How long to wait before the Hub is asked again; None if that changes nothing."""
    status = _status(error)
    if status is None:
        passes = isinstance(error, OSError | RuntimeError) or "Timeout" in type(error).__name__
        return 0.0 if passes and type(error).__name__ not in _LASTING else None
    return _wait(error) if status in _BUSY else None


_LASTING = (
    "OfflineModeIsEnabled",
    "LocalTokenNotFoundError",
    "FileNotFoundError",
    "PermissionError",
    "HFValidationError",
)


def _status(error: Any) -> int | None:
    answer = getattr(error, "response", None)
    return None if answer is None else int(answer.status_code)


def _wait(error: Any) -> float:
    after = error.response.headers.get("retry-after", "")
    return float(after) if after.isdigit() else 0.0


def _digest(entry: Any) -> str | None:
    if entry.lfs is not None:
        return f"sha256:{entry.lfs.sha256}"
    return f"git:{entry.blob_id}"


def _git_hash(file: File) -> str:
    """The hash by which git knows a file."""
    digest = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    for block in file.blocks():
        digest.update(block)
    return digest.hexdigest()
