"""The server that the tests of the command talk to, a process of its own: the standard library's, with what tests need.

It prints its port, then a line "held PATH" for each request to `/hold/...`, which is answered when `/release` is asked
for. It ends with its standard input. `/hits` counts the requests for each path.
"""

import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RELEASED = threading.Event()
LOCK = threading.Lock()
HITS: Counter[str] = Counter()


def tell(event):
    with LOCK:
        sys.stdout.write(event + "\n")
        sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, *args):
        pass

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        received = self.rfile.read(length)
        with LOCK:
            HITS[self.path] += 1
            hits = HITS[self.path]
        kind = self.path.split("/")[1].partition("?")[0]
        answer = getattr(self, f"answer_{kind}", None)
        if answer is None:
            self.answer(200, f"this is {self.path}\n".encode())
        else:
            answer(received, hits)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 (the names http.server looks for)

    def answer(self, status, body, kind="text/plain; charset=utf-8", **fields):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_status(self, received, hits):
        self.answer(int(self.path.split("/")[2]), b"an error page\n")

    def answer_binary(self, received, hits):
        self.answer(200, bytes(range(256)), "application/octet-stream")

    def answer_large(self, received, hits):
        self.answer(200, b"0123456789abcdef" * 65536)

    def answer_redirect(self, received, hits):
        self.answer(302, b"", Location="/target")

    def answer_cookie(self, received, hits):
        self.answer(200, self.headers.get("Cookie", "").encode(), Set_Cookie="taste=sweet; Max-Age=1000; Path=/")

    def answer_echo(self, received, hits):
        fields = [[name, value] for name, value in self.headers.items()]
        told = {"method": self.command, "fields": fields, "body": received.decode("latin-1")}
        self.answer(200, json.dumps(told).encode(), "application/json")

    def answer_hits(self, received, hits):
        self.answer(200, json.dumps(HITS).encode(), "application/json")

    def answer_hold(self, received, hits):
        tell(f"held {self.path}")
        RELEASED.wait()
        self.answer(200, b"held back\n")

    def answer_halfway(self, received, hits):
        """Half of a body, and the rest when it is released."""
        self.send_response(200)
        self.send_header("Content-Length", "200")
        self.end_headers()
        self.wfile.write(b"x" * 100)
        self.wfile.flush()
        tell(f"held {self.path}")
        RELEASED.wait()
        self.wfile.write(b"y" * 100)

    def answer_release(self, received, hits):
        RELEASED.set()
        self.answer(200, b"")

    def answer_cut(self, received, hits):
        """A body that breaks off."""
        self.send_response(200)
        self.send_header("Content-Length", "200")
        self.end_headers()
        self.wfile.write(b"x" * 100)
        self.close_connection = True

    def answer_cutonce(self, received, hits):
        if hits == 1:
            self.answer_cut(received, hits)
        else:
            self.answer(200, b"whole\n")


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        """The command was killed: nothing to say."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tell(str(server.server_port))
    sys.stdin.read()
