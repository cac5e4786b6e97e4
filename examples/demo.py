"""The demo (`make demo`): serve a few hundred real files and fetch them, both with endwell, and check each.

One process serves the standard library's own sources with `endwell.web` on a free port of the loopback interface;
`endwell get` fetches them; what came is compared with what is there. Then the server is told to end, as a service is
told, by SIGTERM. Each end prints the report of its closing.
"""

import argparse
import logging
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from urllib.parse import quote

FILES = 400
SOURCES = Path(sysconfig.get_path("stdlib")).resolve()


def serve() -> None:
    """Serve the sources until SIGTERM or SIGINT, and say on standard output on which port."""
    from endwell import web

    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("endwell.server").setLevel(logging.INFO)  # the close report is at this level
    app = web.Application()
    app.add_routes([web.static("/", SOURCES)])
    sock = socket.create_server(("127.0.0.1", 0))
    print(sock.getsockname()[1], flush=True)
    web.run_app(app, sock=sock, access_log=None, print=None)


def choose() -> list[Path]:
    """Name a few hundred source files, the same in every run, relative to the library."""
    found = sorted(path.relative_to(SOURCES) for path in SOURCES.rglob("*.py") if _wanted(path))
    return found[:: max(1, len(found) // FILES)][:FILES]


def _wanted(path: Path) -> bool:
    if not path.resolve().is_relative_to(SOURCES):
        return False  # a link that leads out is not served
    return not {"site-packages", "test", "tests", "idle_test", "__pycache__"} & set(path.relative_to(SOURCES).parts)


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
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        print(f"a server on 127.0.0.1:{port} has {len(files)} files of {SOURCES.name}", flush=True)
        start = time.perf_counter()
        try:
            code = fetch(port, files, out, arguments.n)
            seconds = time.perf_counter() - start
        finally:
            server.send_signal(signal.SIGTERM)
        said, _ = server.communicate()
    print(f"{said.rstrip()}\nthe server ended with exit status {server.returncode}")
    wrong = compare(port, files, out)
    for path in wrong:
        print(f"{path} is missing or differs")
    equal = len(files) - len(wrong)
    print(f"{equal} of {len(files)} files are equal to their source; {seconds:.2f} s, the start of Python included")
    return 1 if wrong or code or server.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
