"""What should not be published is found, named by its place, and not repeated in the message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dit_lens_stores import Corrupt, Store, create_store, open_store
from dit_lens_stores.share import PrivateContent, find_private, push
from dit_lens_stores.share.files import File, store_files
from dit_lens_stores.share.scan import names_of_this_machine

from .shared import LICENCE, add_trace, make_store

SECRETS = {
    "hf_" + "a" * 34: "a Hugging Face token",
    "AKIA" + "Q" * 16: "an AWS access key",
    "ghp_" + "b" * 36: "a GitHub token",
    "sk-proj-" + "c" * 40: "an API key",
    "-----BEGIN OPENSSH PRIVATE KEY-----": "a private key",
    "https://me:pass@example.org/x": "an address with a password",
    "ada@example.org": "an e-mail address",
    "/home/ada/models/wan": "an absolute path",
    "see /scratch/x/first.png": "an absolute path",
    "C:\\Users\\ada": "an absolute path",
    "~/models/wan": "an absolute path",
    "file:///data/x": "an absolute path",
    "cwd:/home/mo/maze/x.json": "an absolute path",
    "file:/home/mo/x": "an absolute path",
    "//home/mo/x": "an absolute path",
    "\\\\srv\\share\\x": "an absolute path",
    "C:/Users/mo/x": "an absolute path",
    "glpat-" + "d" * 20: "a GitLab token",
    "sk_live_" + "e" * 24: "an API key",
    "TOKEN_hf_" + "f" * 34: "a Hugging Face token",
    "Authorization: Bearer " + "a1" * 10: "a bearer token",
    "bearer " + "b" * 24: "a bearer token",
    "AWS_SECRET_ACCESS_KEY=" + "g" * 40: "a password",
    "https://h/x?X-Amz-Signature=" + "0a" * 16: "a password",
    "password=hunter22": "a password",
    "Password: hunter22": "a password",
    '{"api_key": "abc123def"}': "a password",
    "my_token=" + "h" * 12: "a token",
    "ssh ada@engine7": "a user at a host",
}
HARMLESS = (
    "Draw the way through the maze, and/or the key.",
    "the root of the tree, 3/4 of it, at 1/2/3",
    "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
    "https://huggingface.co/datasets/me/traces",
    "hf_hub",
    "sk-learn, a task-like name",
    "block.out:mean:frame+token@float16[step=0:3]",
    "0f" * 32,
    "a dog @ the park",
    "block.out:raw[token=0:100,layer=20:30]",
    "latent@bitround:8[token=0+1+2+3]",
    "tokenizer=google/umt5-xxl",
    "tokenizer: umt5-xxl-v1",
    "hf://datasets/me/maze@0123abcdef/part",
    "s3://bucket/folder/a.zarr",
    "The secret: hidden doors; the token: a golden coin; 16:9/4:3.",
    "The standard bearer congratulates the winner.",
    "two lines: red/blue, one end: a \\\\ sign",
)


@pytest.fixture
def made(tmp_path: Path) -> Store:
    return make_store(tmp_path / "a.zarr", 1)


@pytest.mark.parametrize(("text", "what"), SECRETS.items())
def test_each_kind_is_found_and_not_repeated(text: str, what: str) -> None:
    file = File("t0/zarr.json", data=json.dumps({"attributes": {"manifest": {"extra": [{"note": text}]}}}).encode())
    found = [one for one in find_private([file], {}) if one.what == what]
    assert [one.place for one in found] == ["t0/zarr.json: attributes.manifest.extra[0].note"]
    assert text not in str(found[0])


@pytest.mark.parametrize("text", HARMLESS)
def test_plain_words_are_not_found(text: str) -> None:
    assert find_private([File("t0/zarr.json", data=json.dumps({"a": text, text: 1}).encode())], {"ada": "a name"}) == []


@pytest.mark.parametrize("text", ["ADA draws", "by Ada", "ada@engine7", "runs_of_ada"])
def test_names_are_found_in_any_case(text: str) -> None:
    file = File("t0/zarr.json", data=json.dumps({"a": text}).encode())
    assert "the user name" in [one.what for one in find_private([file], {"ada": "the user name"})]
    assert find_private([file], {"lovelace": "the user name", "da": "a name"}) == (
        find_private([file], {}) if "@" in text else []
    )


@pytest.mark.parametrize("data", [b"{nope", b"\xff{}", b"[" * 100_000 + b"]" * 100_000])
def test_metadata_that_cannot_be_read_are_one_line(data: bytes) -> None:
    with pytest.raises(
        Corrupt, match=r"^looking for what is private failed in 't0/notes/zarr\.json'; got \w+,"
    ) as caught:
        find_private([File("t0/notes/zarr.json", data=data)], {})
    assert "\n" not in str(caught.value)


def test_keys_and_names_are_looked_at(tmp_path: Path) -> None:
    assert find_private([File("zarr.json", data=json.dumps({"ada": 1}).encode())], {"ada": "the user name"})
    assert find_private([File("maze-ada-1/x/c/0")], {"ada": "the user name"})[0].place == "the name 'maze-ada-1/x'"
    assert not find_private([File("adagio/x/c/0")], {"ada": "the user name"})


def test_the_names_of_this_machine_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "lovelace")
    monkeypatch.setattr("platform.node", lambda: "engine7.example.org")
    known = names_of_this_machine()
    assert known["lovelace"] == "the user name"
    assert known["engine7"] == known["engine7.example.org"] == "the host name"


def test_a_store_with_a_secret_is_refused_and_nothing_sent(made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathlib.Path.home", lambda: Path("/home/lovelace"))  # a home may be called home itself
    add_trace(made, "t1", 1, data="/home/ada/vbvr/first.png")
    with pytest.raises(PrivateContent) as caught:
        push(made.path, "memory://private/a.zarr", license=LICENCE)
    assert str(caught.value) == (
        f"push refused '{made.path}'; got an absolute path '/home/...' in t1/zarr.json: attributes.manifest.data, "
        f"allowed nothing private; take it out and trace again, or push knowingly with --allow-private"
    )
    assert caught.value.exit_code == 2
    with pytest.raises(ValueError, match="no store at"):
        open_store("memory://private/a.zarr")
    assert push(made.path, "memory://private/a.zarr", license=LICENCE, allow_private=True).sent_files


def test_words_in_coordinates_are_looked_at(made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "transformer_2")
    with pytest.raises(PrivateContent, match=r"got the user name 'transf\.\.\.' in t0/expert"):
        push(made.path, "memory://private/b.zarr", license=LICENCE)


def test_what_we_write_ourselves_is_not_private(tmp_path: Path) -> None:
    store = create_store(tmp_path / "a.zarr")
    add_trace(store, "maze-5-0.seed-3", 0)
    assert find_private(store_files(store)) == []
