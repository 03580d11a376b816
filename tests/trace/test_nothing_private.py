"""What a trace says of itself may be published: no false alarm is raised by its manifest, its metadata or its names."""

from __future__ import annotations

from dit_lens_stores import open_store
from dit_lens_stores.share import find_private, pull
from dit_lens_stores.share.files import store_files
from dit_lens_stores.share.scan import check_private

CAPTURES = [
    "block.out:mean:frame+token@float16[step=0:3,y=0:2,x=0:3,layer=0+2,branch=cond]",
    "block.out:raw@bits[token=0:12,layer=1]",
    "attn1.q:energy",
    "block.out:gram:8x2",
    "latent",
]
PROMPTS = (
    "The secret: draw the way, red/blue, at 16:9; a token: golden, left: the door.",
    "a mail @ noon and/or the key",
)


def test_a_trace_holds_nothing_private(kit, lens, tmp_path, monkeypatch):
    monkeypatch.setattr("dit_lens_stores.share.scan.names_of_this_machine", dict)
    store = tmp_path / "a.zarr"
    for number, prompt in enumerate(PROMPTS):
        lens.trace(kit.ask(prompt=prompt), CAPTURES, store, trace_id=f"maze-5-{number}.seed-3", decode=False)
    part = pull(store, tmp_path / "b.zarr", select="step=0:2,token=0+1+2+3+4+5").store
    for made in (open_store(store), open_store(part)):
        assert find_private(store_files(made), {}) == []
        check_private(made, store_files(made))
