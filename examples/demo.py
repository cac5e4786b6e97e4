"""The demo (`make demo`): fetch a few hundred real files from a real HTTP server on this machine, and check each.

Starts the standard library's HTTP server on a free port of the loopback interface, with the standard library's own
sources as its content, runs `endwell get` on all of them, compares what came with what is there, stops the server.
"""

import argparse
import shutil
import subprocess
import sys
import sysconfig
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

FILES = 400
SOURCES = Path(sysconfig.get_path("stdlib"))


class Server(ThreadingHTTPServer):
    """The standard library's server, with room for many connections that come at once."""

    request_queue_size = 256
    daemon_threads = True


class Handler(SimpleHTTPRequestHandler):
    """Serves files over HTTP/1.1, so that a connection is used for many of them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the base class's)
        """Say nothing."""


def serve() -> None:
    """Serve the sources and say on standard output on which port, until standard input ends."""
    with Server(("127.0.0.1", 0), partial(Handler, directory=str(SOURCES))) as server:
        import threading

        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        sys.stdin.read()
        server.shutdown()


def choose() -> list[Path]:
    """Name a few hundred source files, the same in every run, relative to the library."""
    found = sorted(path.relative_to(SOURCES) for path in SOURCES.rglob("*.py") if _wanted(path.relative_to(SOURCES)))
    return found[:: max(1, len(found) // FILES)][:FILES]


def _wanted(path: Path) -> bool:
    return not {"site-packages", "test", "tests", "idle_test", "__pycache__"} & set(path.parts)


def fetch(port: int, files: list[Path], out: Path, concurrency: int) -> int:
    """Run the command on the URLs of all files; gives its exit code."""
    urls = out / "urls.txt"
    urls.write_text("".join(f"http://127.0.0.1:{port}/{quote(path.as_posix())}\n" for path in files))
    options = ["-i", str(urls), "-o", str(out / "files"), "-n", str(concurrency), "--progress", "--no-env"]
    print(f"$ endwell get {' '.join(options)}", flush=True)
    return subprocess.run([sys.executable, "-m", "endwell.cli", "get", *options], check=False).returncode


def compare(port: int, files: list[Path], out: Path) -> list[Path]:
    """Give the files that are missing or differ."""
    root = out / "files" / f"127.0.0.1+{port}"
    return [path for path in files if not _same(root / path, SOURCES / path)]


def _same(fetched: Path, source: Path) -> bool:
    return fetched.is_file() and fetched.read_bytes() == source.read_bytes()


def main() -> int:
    """Run the demo; the exit code is 0 if every file came and is equal."""
    parser = argparse.ArgumentParser(description="fetch the standard library's sources from a local server")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder to write to; it is emptied first")
    parser.add_argument("-n", type=int, default=20, help="files at a time")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return 0
    out = arguments.out
    if out.exists() and not (out / "urls.txt").exists() and any(out.iterdir()):
        parser.error(f"{out} has other files in it; name another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    files = choose()
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        print(f"a server on 127.0.0.1:{port} has {len(files)} files of {SOURCES.name}", flush=True)
        start = time.perf_counter()
        code = fetch(port, files, out, arguments.n)
        seconds = time.perf_counter() - start
        server.communicate()  # its input ends, and so does it
    wrong = compare(port, files, out)
    for path in wrong:
        print(f"{path} is missing or differs")
    equal = len(files) - len(wrong)
    print(f"{equal} of {len(files)} files are equal to their source; {seconds:.2f} s, the start of Python included")
    return 1 if wrong or code else 0


if __name__ == "__main__":
    sys.exit(main())
