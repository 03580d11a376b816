"""A Hugging Face Hub of one machine: the few endpoints that pushing and pulling a dataset repository asks."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 7
Answer = tuple[int, bytes, dict[str, str]]


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class Repository:
    """Commits by id, each a whole tree; branches by name."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    private: bool = False

    def commit(self, branch: str, tree: dict[str, bytes]) -> str:
        oid = hashlib.sha1(f"{len(self.commits)}{sorted(tree)}".encode(), usedforsecurity=False).hexdigest()
        self.commits[oid], self.branches[branch] = dict(tree), oid
        return oid

    def tree(self, revision: str) -> dict[str, bytes] | None:
        return self.commits.get(self.branches.get(revision, revision))


@dataclass
class Hub:
    """What was asked, as (method, path); faults are (pattern, status, headers), each given once."""

    url: str = ""
    token: str = "hf_test"
    repos: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    faults: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    before_commit: Callable[[int], None] = lambda number: None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, method: str, url: str, body: bytes, headers: Any) -> Answer:
        path = unquote(urlsplit(url).path)
        with self.lock:
            self.asked.append((method, path))
            for fault in self.faults:
                if re.search(fault[0], f"{method} {path}"):
                    self.faults.remove(fault)
                    return fault[1], b'{"error": "a fault"}', fault[2]
        if method != "GET" and not path.startswith("/lfs/") and headers["Authorization"] != f"Bearer {self.token}":
            return 401, b'{"error": "who are you?"}', {}
        for pattern, handler in _ROUTES:
            if parts := re.fullmatch(pattern, f"{method} {path}"):
                return handler(self, *parts.groups(), body=body, headers=headers, query=parse_qs(urlsplit(url).query))
        return 404, b"{}", {}

    def create(self, body: bytes, **_: Any) -> Answer:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repos:
            return 409, json.dumps({"url": f"{self.url}/datasets/{name}"}).encode(), {}
        repo = self.repos[name] = Repository(private=asked.get("visibility") == "private")
        repo.commit("main", {".gitattributes": b"*.bin filter=lfs\n"})
        return _json({"url": f"{self.url}/datasets/{name}"})

    def validate(self, **_: Any) -> Answer:
        return _json({"errors": [], "warnings": []})

    def info(self, name: str, revision: str = "main", **_: Any) -> Answer:
        repo = self.repos.get(name)
        if repo is None or repo.tree(revision) is None:
            return _missing(repo)
        return _json({"id": name, "sha": repo.branches.get(revision, revision)})

    def branch(self, name: str, branch: str, **_: Any) -> Answer:
        repo = self.repos[name]
        if branch in repo.branches:
            return 409, b"{}", {}
        repo.branches[branch] = repo.branches["main"]
        return _json({})

    def tree(self, name: str, revision: str, folder: str | None, query: dict[str, list[str]], **_: Any) -> Answer:
        repo = self.repos.get(name)
        tree = repo.tree(revision) if repo else None
        if repo is None or tree is None:
            return _missing(repo)
        prefix = f"{folder.strip('/')}/" if folder else ""
        keys = sorted(key for key in tree if key.startswith(prefix))
        if not keys and prefix:
            return 404, b"{}", {"X-Error-Code": "EntryNotFound"}
        at = int(query.get("cursor", ["0"])[0])
        more = f"{self.url}/api/datasets/{name}/tree/{revision}{folder or ''}?recursive=True&cursor={at + PAGE}"
        link = {"Link": f'<{more}>; rel="next"'} if at + PAGE < len(keys) else {}
        entries = [_entry(key, tree[key], key in repo.large) for key in keys[at : at + PAGE]]
        return 200, json.dumps(entries).encode(), link

    def preupload(self, name: str, revision: str, body: bytes, **_: Any) -> Answer:
        small = ("zarr.json", "README.md", "croissant.json", "SHA256SUMS")
        files = [
            {
                "path": file["path"],
                "uploadMode": "regular" if file["path"].endswith(small) else "lfs",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in json.loads(body)["files"]
        ]
        return _json({"files": files})

    def batch(self, name: str, body: bytes, **_: Any) -> Answer:
        asked = json.loads(body)["objects"]
        objects = [one | self._action(one["oid"]) for one in asked]
        return _json({"objects": objects, "transfer": "basic"})

    def _action(self, oid: str) -> dict[str, Any]:
        return {} if oid in self.objects else {"actions": {"upload": {"href": f"{self.url}/lfs/{oid}"}}}

    def put(self, oid: str, body: bytes, **_: Any) -> Answer:
        assert hashlib.sha256(body).hexdigest() == oid
        self.objects[oid] = body
        self.sent.append(oid)
        return 200, b"", {}

    def commit(self, name: str, revision: str, body: bytes, **_: Any) -> Answer:
        self.before_commit(sum("/commit/" in path for _, path in self.asked))
        repo = self.repos[name]
        tree = dict(repo.tree(revision) or {})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                tree[value["path"]] = self.objects[value["oid"]]
                repo.large.add(value["path"])
        oid = repo.commit(revision, tree)
        return _json({"commitUrl": f"{self.url}/datasets/{name}/commit/{oid}", "commitOid": oid})

    def resolve(self, name: str, revision: str, key: str, headers: Any, **_: Any) -> Answer:
        repo = self.repos.get(name)
        tree = repo.tree(revision) if repo else None
        if repo is None or tree is None or key not in tree:
            return _missing(repo)
        content, commit = tree[key], {"X-Repo-Commit": repo.branches.get(revision, revision)}
        part = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("Range", ""))
        if not part:
            return 200, content, commit
        start = int(part[1]) if part[1] else max(0, len(content) - int(part[2]))
        end = min(len(content), int(part[2]) + 1) if part[1] and part[2] else len(content)
        return 206, content[start:end], commit | {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}


_ROUTES: list[tuple[str, Callable[..., Answer]]] = [
    (r"POST /api/repos/create", Hub.create),
    (r"POST /api/validate-yaml", Hub.validate),
    (r"GET /api/datasets/([^/]+/[^/]+)", Hub.info),
    (r"GET /api/datasets/([^/]+/[^/]+)/revision/([^/]+)", Hub.info),
    (r"GET /api/datasets/([^/]+/[^/]+)/tree/([^/]+)(/.*)?", Hub.tree),
    (r"POST /api/datasets/([^/]+/[^/]+)/branch/([^/]+)", Hub.branch),
    (r"POST /api/datasets/([^/]+/[^/]+)/preupload/([^/]+)", Hub.preupload),
    (r"POST /datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", Hub.batch),
    (r"PUT /lfs/([0-9a-f]+)", Hub.put),
    (r"POST /api/datasets/([^/]+/[^/]+)/commit/([^/]+)", Hub.commit),
    (r"GET /datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", Hub.resolve),
]


def _json(value: Any) -> Answer:
    return 200, json.dumps(value).encode(), {}


def _missing(repo: Repository | None) -> Answer:
    return 404, b"{}", {"X-Error-Code": "RepoNotFound" if repo is None else "RevisionNotFound"}


def _entry(key: str, content: bytes, large: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": key, "size": len(content), "oid": git_hash(content)}
    if large:
        oid = hashlib.sha256(content).hexdigest()
        entry |= {"oid": "0" * 40, "lfs": {"oid": oid, "size": len(content), "pointerSize": 134}}
    return entry


@contextmanager
def serve_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one packet: small ones wait for each other

        def handle_any(self) -> None:
            body = self._chunked() if "chunked" in self.headers.get("Transfer-Encoding", "") else self._sized()
            try:
                status, content, headers = hub.answer(self.command, self.path, body, self.headers)
            except ConnectionError:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in (
                {"Content-Length": str(len(content)), "Content-Type": "application/json"} | headers
            ).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = handle_any

        def _sized(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _chunked(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
