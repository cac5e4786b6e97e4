"""The command as people run it: a process, a server, files and exit codes."""

import json
import os
import pty
from base64 import b64encode
from pathlib import Path

import pytest
from typer.testing import CliRunner

from endwell._version import __version__
from endwell.cli.get import app
from tests.cli.conftest import Command, Site
from tests.support.echo import Reply, run_in_thread
from tests.support.tls import server_context


def text(site: Site, path: str) -> bytes:
    return f"this is {path}\n".encode()


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob("*.endwell-part"))


# One URL


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "auto"])
def test_one_url_is_printed(site: Site, command: Command, loop: str) -> None:
    done = command.run("--loop", loop, site.url("/page"))
    assert (done.returncode, done.stdout, done.stderr) == (0, text(site, "/page"), b"")


@pytest.mark.parametrize("path", ["/binary", "/large"])
def test_bodies_are_printed_as_they_are(site: Site, command: Command, path: str) -> None:
    assert command.run(site.url(path)).stdout == site.get(path)


def test_an_error_page_is_printed_unless_it_is_to_fail(site: Site, command: Command) -> None:
    done = command.run(site.url("/status/404"))
    assert (done.returncode, done.stdout) == (0, b"an error page\n")
    done = command.run("--fail", site.url("/status/404"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"HTTP 404 Not Found" in done.stderr


def test_nobody_answers(command: Command) -> None:
    done = command.run("http://127.0.0.1:1/")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"endwell: http://127.0.0.1:1/: ")


def test_only_public_addresses(site: Site, command: Command, tmp_path: Path) -> None:
    before = site.hits("/page")
    done = command.run("--public-only", "--retry", "5", site.url("/page"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"AddressDeniedError" in done.stderr
    assert b"127.0.0.1" in done.stderr
    names = tmp_path / "urls.txt"
    names.write_text(f"http://localhost:{site.port}/page\nhttp://0x7f.1:{site.port}/page\n")
    assert command.run("--public-only", "-i", str(names), "-o", str(tmp_path / "pages")).returncode == 1
    assert site.hits("/page") == before


def test_a_body_that_breaks_off_is_a_failure(site: Site, command: Command) -> None:
    done = command.run(site.url("/cut"))
    assert (done.returncode, done.stdout) == (1, b"x" * 100)
    assert b"ClientPayloadError" in done.stderr


def test_a_timeout_is_a_failure(own_site: Site, command: Command) -> None:
    done = command.run("--timeout", "0.3", own_site.url("/hold/timeout"))
    own_site.release()
    assert done.returncode == 1
    assert b"Timeout" in done.stderr


def test_heads(site: Site, command: Command) -> None:
    done = command.run("--include", site.url("/page"))
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/plain; charset=utf-8" in head
    assert body == text(site, "/page")
    done = command.run("-I", site.url("/page"))
    assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
    assert done.stdout.endswith(b"\r\n\r\n")


def test_redirects(site: Site, command: Command) -> None:
    assert command.run(site.url("/redirect")).stdout == text(site, "/target")
    done = command.run("--no-redirects", "--include", site.url("/redirect"))
    assert done.stdout.startswith(b"HTTP/1.1 302 Found\r\n")
    assert command.run("--max-redirects", "1", site.url("/redirect")).returncode == 0
    done = command.run("--max-redirects", "0", site.url("/redirect"))
    assert done.returncode == 1
    assert b"TooManyRedirects" in done.stderr


def test_what_is_sent(site: Site, command: Command) -> None:
    done = command.run(
        "-H", "X-One: 1", "-H", "x-one: 2", "-H", "User-Agent:", "-u", "me:pass", "-b", "a=b", "-d", "x=1", "-d", "y=2",
        "--no-compressed", site.url("/echo"),
    )  # fmt: skip
    told = json.loads(done.stdout)
    fields = [(name.lower(), value) for name, value in told["fields"]]
    assert (told["method"], told["body"]) == ("POST", "x=1&y=2")
    assert [value for name, value in fields if name == "x-one"] == ["1", "2"]
    sent = dict(fields)
    assert "user-agent" not in sent
    assert sent["authorization"] == "Basic bWU6cGFzcw=="
    assert sent["cookie"] == "a=b"
    assert sent["content-type"] == "application/x-www-form-urlencoded"
    assert sent["accept-encoding"] == "identity"


def test_a_body_from_standard_input(site: Site, command: Command) -> None:
    told = json.loads(command.run("-X", "PUT", "-d", "@-", site.url("/echo"), stdin=b"a\0b").stdout)
    assert (told["method"], told["body"]) == ("PUT", "a\0b")


def test_json(site: Site, command: Command) -> None:
    told = json.loads(command.run("--json", '{"a": 1}', site.url("/echo")).stdout)
    assert (told["method"], told["body"]) == ("POST", '{"a": 1}')
    assert dict(told["fields"])["Content-Type"] == "application/json"


def test_verbose_shows_heads_and_no_secrets(site: Site, command: Command) -> None:
    done = command.run("-v", "-b", "crumb=hunter3", site.url("/cookie", "you:hunter4@"))
    for secret in (b"hunter", b"sweet", b"bWU6"):
        assert secret not in done.stderr
    assert b"> GET /cookie HTTP/1.1" in done.stderr
    assert b"< HTTP/1.1 200 OK" in done.stderr
    assert b"Authorization: (not shown)" in done.stderr


@pytest.mark.parametrize(("userinfo", "credentials"), [("you:two@", "you:two"), ("", "me:one")])
def test_credentials_of_the_url_come_first(site: Site, command: Command, userinfo: str, credentials: str) -> None:
    told = json.loads(command.run("-u", "me:one", site.url("/echo", userinfo)).stdout)
    assert dict(told["fields"])["Authorization"] == "Basic " + b64encode(credentials.encode()).decode()


def test_cookies_are_kept_in_a_file_only_its_owner_reads(site: Site, command: Command) -> None:
    for _ in range(2):
        done = command.run("-c", "jar", site.url("/cookie"))
        assert done.returncode == 0
    assert done.stdout == b"taste=sweet"
    assert (command.folder / "jar").stat().st_mode & 0o777 == 0o600
    (command.folder / "jar").write_text("no cookies")
    assert command.run("-c", "jar", site.url("/cookie")).returncode == 3


def test_a_retry_asks_again_for_a_body_that_broke_off(site: Site, command: Command) -> None:
    urls = [site.url("/cutonce/a"), site.url("/cut")]
    done = command.run("--retry", "1", "-o", "out", *urls)
    assert done.returncode == 1
    assert (command.folder / "out" / site.folder / "cutonce" / "a").read_bytes() == b"whole\n"
    assert site.hits("/cutonce/a") == 2


def test_binary_does_not_go_to_a_terminal(site: Site, command: Command) -> None:
    for arguments, code in ([], 3), (["-o", "-"], 0):
        terminal, other = pty.openpty()
        try:
            with command.start(*arguments, site.url("/binary"), stdout=other) as process:
                os.close(other)
                assert process.stderr is not None
                said = process.stderr.read()
            assert process.returncode == code
            if code:
                assert b"-o -" in said
            else:
                assert b"abcdefg" in os.read(terminal, 1000)
        finally:
            os.close(terminal)


def test_nobody_reads_what_is_printed(site: Site, command: Command) -> None:
    with command.start(site.url("/large")) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 3
    assert b"standard output" in said
    assert b"Traceback" not in said


def test_a_proxy_that_is_not_there_is_named_without_its_password(site: Site, command: Command) -> None:
    done = command.run("--proxy", "http://me:hunter2@127.0.0.1:1", site.url("/page"))
    assert done.returncode == 1
    assert b"127.0.0.1:1" in done.stderr
    assert b"hunter2" not in done.stderr


def test_any_certificate_if_it_is_wanted(command: Command) -> None:
    with run_in_thread(routes={"/page": lambda _: Reply("over TLS")}, tls=server_context("untrusted")) as server:
        done = command.run(server.url("/page", "localhost"))
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"ClientConnectorCertificateError" in done.stderr
        done = command.run("--insecure", server.url("/page", "localhost"))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"over TLS", b"")


@pytest.mark.parametrize("how", ["option", "environment", "no environment"])
def test_a_proxy(site: Site, command: Command, how: str) -> None:
    with run_in_thread(routes={"/page": lambda _: Reply("by the proxy")}, proxy=True) as proxy:
        arguments = ["--proxy", proxy.url("")] if how == "option" else ["--no-env"] if how == "no environment" else []
        if how != "option":
            command.environment["http_proxy"] = proxy.url("")
        done = command.run(*arguments, site.url("/page"))
        assert done.returncode == 0
        assert done.stdout == (text(site, "/page") if how == "no environment" else b"by the proxy")
        assert [each.target for each in proxy.requests] == ([] if how == "no environment" else [site.url("/page")])


# Usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["http://h/", "--http-version", "2"],
        ["http://h/", "--http-version", "3"],
        ["http://h/", "http://h/"],
        ["-i", "list"],
        ["http://me:hunter2@h:x/"],
        ["--no-such-option"],
        ["http://h/", "-n", "0", "-o", "d"],
        [],
    ],
)
def test_a_wrong_command_line(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["get", *arguments])
    assert done.exit_code == 2
    assert "hunter2" not in done.output


def test_an_unsupported_version_says_what_is_supported(command: Command) -> None:
    done = command.run("http://h/", "--http-version", "2")
    assert done.returncode == 2
    assert b"1.0 and 1.1 are" in done.stderr


def test_help_has_the_exit_codes_and_version_the_version() -> None:
    done = CliRunner().invoke(app, ["get", "--help"])
    assert done.exit_code == 0
    for code in ("0: everything", "1: something", "2: ", "3: ", "130: "):
        assert code in done.output
    for arguments in (["--version"], ["get", "--version"]):
        assert CliRunner().invoke(app, arguments).output == f"endwell {__version__}\n"


# Many URLs


def test_many_into_a_folder(site: Site, command: Command) -> None:
    paths = [f"/many/{number}.txt" for number in range(60)]
    name = command.urls(["# a list", "", *map(site.url, paths)])
    done = command.run("-i", name, "-o", "out", "-n", "8")
    assert done.returncode == 0
    for path in paths:
        assert (command.folder / "out" / site.folder / path[1:]).read_bytes() == text(site, path)
    assert b"60 fetched, 0 failed" in done.stderr
    assert b"200: 60" in done.stderr
    assert b"p50" in done.stderr
    assert not parts(command.folder)


def test_the_list_may_come_from_standard_input_and_from_arguments(site: Site, command: Command) -> None:
    done = command.run(
        site.url("/one"), "-i", "-", "-o", "out", stdin=f"{site.url('/two')}\n{site.url('/three')}".encode()
    )
    assert done.returncode == 0
    assert sorted(path.name for path in (command.folder / "out" / site.folder).iterdir()) == ["one", "three", "two"]


def test_failures_leave_no_file_and_the_others_alone(site: Site, command: Command) -> None:
    urls = [site.url(path) for path in ("/good", "/status/404", "/cut", "/status/500")]
    name = command.urls([*urls, "not a URL", "http://me:hunter2@127.0.0.1:1/"])
    done = command.run("-i", name, "-o", "out")
    assert done.returncode == 1
    files = [path.relative_to(command.folder / "out").as_posix() for path in (command.folder / "out").rglob("*")]
    assert sorted(files) == [site.folder, f"{site.folder}/good"]
    assert b"urls:5: " in done.stderr
    assert b"1 fetched, 4 failed, 1 lines that are no URL" in done.stderr
    assert b"HTTP 404" in done.stderr
    assert b"ClientPayloadError" in done.stderr
    assert b"hunter2" not in done.stderr


def test_error_pages_are_kept_if_they_are_no_failures(site: Site, command: Command) -> None:
    done = command.run("--no-fail", "-o", "out", site.url("/status/404"))
    assert done.returncode == 0
    assert (command.folder / "out" / site.folder / "status" / "404").read_bytes() == b"an error page\n"


def test_resume_fetches_what_is_missing(site: Site, command: Command) -> None:
    urls = [site.url(f"/resume/{number}") for number in range(5)]
    folder = command.folder / "out" / site.folder / "resume"
    assert command.run("-o", "out", *urls[:3]).returncode == 0
    (folder / ".3.endwell-part").write_bytes(b"half")  # an earlier run was killed here
    done = command.run("--resume", "-o", "out", *urls)
    assert done.returncode == 0
    assert b"2 fetched, 0 failed, 3 there already" in done.stderr
    assert [site.hits(f"/resume/{number}") for number in range(5)] == [1] * 5
    assert (folder / "3").read_bytes() == text(site, "/resume/3")
    assert not parts(command.folder)
    assert b"5 fetched" in command.run("-o", "out", *urls).stderr


@pytest.mark.parametrize("order", [("/place", "/place/below"), ("/place/below", "/place")])
def test_a_file_where_a_folder_is_needed(site: Site, command: Command, order: tuple[str, str]) -> None:
    for path in order:
        assert command.run("-o", "out", site.url(path)).returncode == 0
    found = sorted(path.read_bytes() for path in (command.folder / "out").rglob("*") if path.is_file())
    assert found == sorted(text(site, path) for path in order)
    done = command.run("--resume", "-o", "out", *map(site.url, order))
    assert b"0 fetched, 0 failed, 2 there already" in done.stderr


def test_a_body_over_the_limit_is_not_kept(site: Site, command: Command) -> None:
    done = command.run("--max-body", "1000", "-o", "out", site.url("/large"), site.url("/small"))
    assert done.returncode == 1
    assert b"more than 1000 bytes" in done.stderr
    assert [path.name for path in (command.folder / "out" / site.folder).iterdir()] == ["small"]


def test_records(site: Site, command: Command) -> None:
    urls = [site.url(path) for path in ("/redirect", "/binary", "/status/404", "/cut")]
    done = command.run("--jsonl", "records", "--fsync", urls[0].replace("//", "//me:hunter2@"), *urls[1:])
    assert done.returncode == 1
    records = command.records("records")
    assert set(records) == {"redirect", "binary", "404", "cut"}
    page = records["redirect"]
    assert (page["url"], page["final_url"], page["status"]) == (urls[0], site.url("/target"), 200)
    assert page["body"] == "this is /target\n"
    assert ["Content-Type", "text/plain; charset=utf-8"] in page["headers"]  # type: ignore[operator] # JSON
    assert isinstance(page["elapsed"], float)
    assert "base64" in records["binary"]
    assert records["404"]["error"] == {"type": "HTTPStatus", "message": "404 Not Found"}
    assert records["404"]["body"] == "an error page\n"
    assert records["cut"]["error"]["type"] == "ClientPayloadError"  # type: ignore[index] # JSON
    assert b"hunter2" not in (command.folder / "records").read_bytes()


def test_records_go_on_after_a_cut(site: Site, command: Command) -> None:
    urls = [site.url(f"/records/{number}") for number in range(4)]
    assert command.run("--jsonl", "records", *urls[:3]).returncode == 0
    assert command.run("--jsonl", "records", *urls).returncode == 3
    path = command.folder / "records"
    path.write_bytes(path.read_bytes()[:-10])
    done = command.run("--jsonl", "records", "--resume", *urls)
    assert done.returncode == 0
    assert b"the last record was not whole" in done.stderr
    assert b"2 fetched, 0 failed, 2 there already" in done.stderr
    assert set(command.records("records")) == {"0", "1", "2", "3"}


def test_records_on_standard_output(site: Site, command: Command) -> None:
    urls = [site.url(f"/stream/{number}") for number in range(30)]
    done = command.run("-q", "--jsonl", "-", *urls)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(json.loads(line)["url"] for line in done.stdout.splitlines()) == sorted(urls)


def test_discard(site: Site, command: Command) -> None:
    done = command.run("--discard", site.url("/a"), site.url("/status/500"))
    assert done.returncode == 1
    assert b"1 fetched, 1 failed" in done.stderr
    assert not list(command.folder.iterdir())


def test_a_host_gets_no_more_than_its_share(own_site: Site, command: Command) -> None:
    urls = [own_site.url(f"/hold/{number}") for number in range(6)]
    with command.start("--discard", "--per-host", "2", *urls) as process:
        own_site.wait_until_held(2)
        assert process.stderr is not None
        assert sum(own_site.hits(f"/hold/{number}") for number in range(6)) == 2
        own_site.release()
        own_site.wait_until_held(4)
        assert b"6 fetched" in process.stderr.read()
    assert process.returncode == 0


def test_a_rate(site: Site, command: Command) -> None:
    done = command.run("--rate", "1000", "--discard", *[site.url(f"/rate/{number}") for number in range(10)])
    assert done.returncode == 0
    assert b"10 fetched" in done.stderr


def test_no_colours_in_a_log_and_a_bar_if_it_is_wanted(site: Site, command: Command) -> None:
    done = command.run("--progress", "--discard", site.url("/a"), site.url("/b"))
    assert b"\x1b" not in done.stderr
    assert b"2/2" in done.stderr
    assert b"2/2" not in command.run("--discard", site.url("/a"), site.url("/b")).stderr


@pytest.mark.parametrize(("variable", "colours"), [("TERM", True), ("NO_COLOR", False)])
def test_a_terminal_has_a_bar_and_colours_unless_they_are_unwanted(
    site: Site, command: Command, variable: str, colours: bool
) -> None:
    command.environment |= {"TERM": "xterm-256color", variable: "xterm-256color"}
    terminal, other = pty.openpty()
    try:
        with command.start("--discard", site.url("/a"), site.url("/status/404"), stderr=other) as process:
            os.close(other)
            said = b""
            while chunk := _read(terminal):
                said += chunk
        assert process.returncode == 1
        assert b"2/2" in said
        assert (b"\x1b[31m" in said) is colours
    finally:
        os.close(terminal)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side is closed
        return b""


# Input and output that can't be


def test_a_list_that_is_not_there(command: Command) -> None:
    done = command.run("-i", "missing", "--discard")
    assert done.returncode == 3
    assert b"missing: No such file" in done.stderr


def test_a_list_that_is_a_folder(command: Command) -> None:
    done = command.run("-i", ".", "--discard")
    assert done.returncode == 3
    assert b"directory" in done.stderr


def test_a_disk_that_is_full(site: Site, command: Command) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    done = command.run("--jsonl", "/dev/full", site.url("/a"), site.url("/b"))
    assert done.returncode == 3
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_without_typer_it_says_what_to_install(command: Command) -> None:
    (command.folder / "typer.py").write_text("raise ModuleNotFoundError('gone', name='typer')")
    command.environment["PYTHONPATH"] = f"{command.folder}:{command.environment.get('PYTHONPATH', '')}"
    done = command.run("http://h/")
    assert done.returncode == 2
    assert b'pip install "endwell[cli]"' in done.stderr
