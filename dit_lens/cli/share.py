"""``dit-lens store ls | pack | push | pull``: list a store, make one file of it, publish it, fetch it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from dit_lens.cli.output import Json, show_json, show_line, show_table
from dit_lens.cli.progress import working_on

__all__ = ["add_to", "ls", "pack", "pull", "push"]

License = Annotated[str | None, Parameter(name="--license")]
ModelLicense = Annotated[str | None, Parameter(name="--model-license")]
_COLUMNS = ("status", "model", "seed", "steps", "prompt")


def add_to(app: App) -> None:
    """Give the commands of sharing to ``dit-lens store``."""
    for command in (ls, pack, push, pull):
        app.command(command)


def ls(store: str, /, *, json: Json = False) -> None:
    """List the traces of a store by one request, wherever it lies.

    Parameters
    ----------
    store
        A folder, a zip, or an address: https://, s3://, hf://datasets/OWNER/NAME.
    """
    from dit_lens_stores import open_store

    index = open_store(store).index
    if json:
        show_json({"store": store, "traces": index})
        return
    rows = [(trace, *(entry.get(column) for column in _COLUMNS)) for trace, entry in index.items()]
    show_table(("trace", *_COLUMNS), rows)


def pack(
    store: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    license: License = None,  # noqa: A002
    model_license: ModelLicense = None,
    partial: bool = False,
    json: Json = False,
) -> None:
    """Pack a store into one zip that is read in place; the same store gives the same bytes.

    Parameters
    ----------
    store
        A store in a folder.
    out
        A new file; its name ends in .zip.
    license
        Licence of the data, such as CC-BY-4.0; with it a card and Croissant metadata are packed as well.
    model_license
        Licence of models whose manifests name none.
    partial
        Pack traces that are not complete as well.
    """
    from dit_lens_stores.share import pack as pack_store

    with working_on(f"pack {store.name}", "bytes", as_json=json) as tell:
        size = pack_store(
            store,
            out,
            license=license,
            model_license=model_license,
            partial=partial,
            probes=probes_of(store),
            tell=tell,
        )
    _show({"zip": str(out), "bytes": size}, json)


def push(
    store: Path,
    target: str,
    /,
    *,
    license: License = None,  # noqa: A002
    model_license: ModelLicense = None,
    private: bool = False,
    allow_private: bool = False,
    partial: bool = False,
    json: Json = False,
) -> None:
    """Publish a store; the same command goes on where an interrupted one stopped.

    Before anything is sent, the store is verified and looked through for keys, user and host names, and absolute paths.

    Parameters
    ----------
    store
        A store in a folder.
    target
        hf://datasets/OWNER/NAME[@BRANCH][/FOLDER], s3://BUCKET/FOLDER, or another address that fsspec knows.
    license
        Licence of the data, such as CC-BY-4.0; by default that of an earlier push.
    model_license
        Licence of models whose manifests name none.
    private
        If the Hub has no such repository yet, make a private one.
    allow_private
        Publish it although something private was found in it.
    partial
        Publish traces that are not complete as well.
    """
    from dit_lens_stores.share import push as push_store
    from dit_lens_stores.share import target_of

    with working_on(f"push {store.name}", "bytes", as_json=json) as tell:
        done = push_store(
            store,
            target_of(target, private=private),
            license=license,
            model_license=model_license,
            allow_private=allow_private,
            partial=partial,
            probes=probes_of(store),
            tell=tell,
        )
    record = {"target": done.target, "commit": done.revision, "files": done.files, "bytes": done.size}
    _show(record | {"sent files": done.sent_files, "sent bytes": done.sent_size}, json)


def pull(
    source: str,
    out: Path,
    /,
    *,
    select: str = "",
    trace: Sequence[str] = (),
    array: Sequence[str] = (),
    json: Json = False,
) -> None:
    """Fetch a store, or a part of one; the same command goes on where an interrupted one stopped.

    Parameters
    ----------
    source
        A folder, a zip, or an address: https://, s3://, hf://datasets/OWNER/NAME[@REVISION].
    out
        A new folder.
    select
        Fetch only the chunks of a selection, such as step=0:3,layer=2, and write a smaller store.
    trace
        Only this trace; may be repeated.
    array
        Only this array; may be repeated.
    """
    from dit_lens_stores.share import pull as pull_store

    with working_on(f"pull {out.name}", "bytes", as_json=json) as tell:
        done = pull_store(source, out, select=select, traces=trace, arrays=array, tell=tell)
    record = {"store": str(done.store), "source": done.source, "commit": done.revision, "traces": done.traces}
    _show(record | {"files": done.files, "bytes": done.size, "fetched files": done.fetched_files}, json)


def probes_of(store: Path) -> tuple[str, ...]:
    """The probes that can be run on a store: those whose captures it holds.

    Parameters
    ----------
    store : pathlib.Path

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> probes_of(Path("no-such-folder"))
    ()
    """
    from dit_lens.errors import DitLensError
    from dit_lens_stores import open_store

    try:
        opened = open_store(store)
        held = {name for trace in opened for name in opened.get(trace, partial=True).arrays}
    except DitLensError:  # whoever is called with it says what is wrong
        return ()
    return tuple(name for name, needed in _needed().items() if needed and needed <= held)


def _needed() -> dict[str, set[str]]:
    """The arrays that each probe needs; one that cannot be loaded is left out."""
    from dit_lens.errors import DitLensError
    from dit_lens.probing import captures_for, list_probes

    found = {}
    for probe in list_probes():
        try:
            found[probe.name] = {capture.array for capture in captures_for(probe.name)}
        except DitLensError:
            continue
    return found


def _show(record: dict[str, Any], json: bool) -> None:
    if json:
        show_json({key.replace(" ", "_"): value for key, value in record.items()})
        return
    wide = max(map(len, record))
    for key, value in record.items():
        if value is not None:
            show_line(f"{key:{wide}}  {value}")
