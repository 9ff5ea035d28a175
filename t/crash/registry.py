# SPDX-License-Identifier: LGPL-2.1-or-later
"""A registry in memory for the pulls of the crash test: blobs and manifests, ranges, and blobs that come slowly enough for a blow to
come between."""
import gzip
import hashlib
import http.server
import json
import threading
import time

PIECE = 64 << 10
PAUSE = 0.002       # between two pieces
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def answer(self, status, data, kind, **more):
        self.send_response(status)
        for k, v in {"Content-Type": kind, "Content-Length": len(data), "Docker-Distribution-API-Version": "registry/2.0", **more}.items():
            self.send_header(k.replace("_", "-"), str(v))
        self.end_headers()
        if self.command == "HEAD":
            return
        for i in range(0, len(data), PIECE):
            self.wfile.write(data[i:i + PIECE])
            time.sleep(PAUSE)

    def do_GET(self):
        store, (kind, what) = self.server.store, ([""] * 2 + self.path.split("/"))[-2:]
        try:
            if self.path == "/v2/":
                self.answer(200, b"{}", "application/json")
            elif kind == "manifests" and (data := store.get(self.path) or store.get(what)):
                self.answer(200, data, MANIFEST, Docker_Content_Digest=digest(data))
            elif kind == "blobs" and (data := store.get(what)):
                at = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0]
                at = int(at or 0)
                if at:
                    self.answer(206, data[at:], "application/octet-stream", Content_Range=f"bytes {at}-{len(data) - 1}/{len(data)}")
                else:
                    self.answer(200, data, "application/octet-stream")
            else:
                self.answer(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"not here"}]}', "application/json")
        except OSError:
            self.close_connection = True    # the daemon is gone

    do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class Registry:
    """Once for all rounds; what was published is forgotten with forget()."""

    def __init__(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.store = {}
        self.name = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def forget(self):
        self.server.store = {}

    def publish(self, repo, tag, layers):
        """Layers in gzip under NAME/repo:tag: the image's id."""
        store = self.server.store
        config = json.dumps({"architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z", "config": {"Cmd": ["true"]},
                             "rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]},
                             "history": [{"created_by": "crash"} for _ in layers]}).encode()
        blobs = [gzip.compress(x, 1, mtime=0) for x in layers]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                               "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config), "digest": digest(config)},
                               "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": len(b), "digest": digest(b)}
                                          for b in blobs]}).encode()
        for data in [config, manifest, *blobs]:
            store[digest(data)] = data
        store[f"/v2/{repo}/manifests/{tag}"] = manifest
        return digest(config)
