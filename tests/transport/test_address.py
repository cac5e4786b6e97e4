import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.transport import address


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "::", "fe80::1%eth0", "fe80::1%25eth0", "fe80::1%2", "::ffff:1.2.3.4"]
)
def test_numeric_addresses(host: str) -> None:
    assert address.is_ip_address(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "127.1",
        "0x7f.1",
        "2130706433",
        "1.2.3.4.5",
        "[::1]",
        "[::1",
        ":::",
        "fe80::1%",
        "1.2.3.256",
        "\u0661.\u0662.3.4",
        "::1\0",
    ],
)
def test_not_numeric(host: str) -> None:
    assert not address.is_ip_address(host)


@pytest.mark.parametrize(
    ("given_host", "host"),
    [
        ("[::1]", "::1"),
        ("[fe80::1%25lo]", "fe80::1%25lo"),
        ("::1", "::1"),
        ("a.example.", "a.example."),
        ("bücher.example", "bücher.example"),
    ],
)
def test_good_hosts(given_host: str, host: str) -> None:
    assert address.check_host(given_host) == host


@pytest.mark.parametrize(
    "host", ["", "[::1", "::1]", "[]", "[a]", "a b", "a\r\nb", "a\0", "a/b", "u@h", "a:80", "x" * 256, "::1::"]
)
def test_bad_hosts(host: str) -> None:
    with pytest.raises(ValueError):
        address.check_host(host)


@pytest.mark.parametrize("port", [0, -1, 65536, 10**30])
def test_bad_ports(port: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.65535") as caught:
        address.check_port(port)
    assert len(str(caught.value)) < 100


@given(st.integers(1, 65535))
def test_good_ports(port: int) -> None:
    assert address.check_port(port) == port


def test_literals_need_no_resolving() -> None:
    (only,) = address.literal_addresses("127.0.0.1", 80) or []
    assert (only["host"], only["family"], only["port"]) == ("127.0.0.1", socket.AF_INET, 80)
    (only,) = address.literal_addresses("::1", 80, socket.AF_INET) or []
    assert only["family"] == socket.AF_INET6
    assert address.literal_addresses("example.com", 80) is None
    assert address.literal_addresses("notlocalhost", 80) is None
    assert address.literal_addresses("localhost.example", 80) is None


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "a.localhost", "a.b.localhost.", "localhost."])
def test_localhost_is_loopback(host: str) -> None:
    def hosts(family: int) -> list[str]:
        return [each["host"] for each in address.literal_addresses(host, 80, family) or []]

    assert hosts(0) == ["127.0.0.1", "::1"]
    assert hosts(socket.AF_INET) == ["127.0.0.1"]
    assert hosts(socket.AF_INET6) == ["::1"]


def test_a_zone_becomes_a_scope_id() -> None:
    for host in ("fe80::1%lo", "fe80::1%25lo", f"fe80::1%{socket.if_nametoindex('lo')}"):
        (info,) = address.addr_infos(address.literal_addresses(host, 80) or [])
        assert info[0] == socket.AF_INET6
        assert info[4] == ("fe80::1", 80, 0, socket.if_nametoindex("lo"))
    with pytest.raises(OSError):
        address.addr_infos(address.literal_addresses("fe80::1%nosuchinterface", 80) or [])


def test_a_resolver_must_answer_with_numbers() -> None:
    answer = address.ResolveResult(hostname="a", host="b.example", port=1, family=socket.AF_INET, proto=6, flags=0)
    with pytest.raises(ValueError, match="numeric"):
        address.addr_infos([answer])


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
     "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.0.0.8", "::1", "::", "fe80::1",
     "fe80::1%eth0",
     "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
     "2002:7f00:1::", "2001:db8::1",
     "::ffff:0:10.0.0.1", "2606:4700::5efe:a00:1", "2606:4700::200:5efe:a00:1", "2001:0:808:808::f5ff:fffe",
     "2001:0:7f00:1::f5ff:fffe", "fec0::1", "localhost", ""],
)  # fmt: skip
def test_private(host: str) -> None:
    assert address.private_address(host)
    if address.is_ip_address(host):
        assert address.denied(host, address.private_address)


@pytest.mark.parametrize(
    "host", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(host: str) -> None:
    assert not address.private_address(host)
    assert not address.denied(host, address.private_address)


@pytest.mark.parametrize(
    "host",
    ["::ffff:10.0.0.1", "::10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2002:a00:1::5",
     "2001:0:808:808::f5ff:fffe", "2001:0:a00:1::f7f7:f7f7", "2606:4700::5efe:a00:1", "::ffff:10.0.0.1%lo"],
)  # fmt: skip
def test_a_policy_is_asked_for_the_address_inside_too(host: str) -> None:
    ten = ipaddress.ip_network("10.0.0.0/8")
    asked = []

    def deny(each: address.IPAddress) -> bool:
        asked.append(each)
        return each in ten

    assert address.denied(host, deny)
    assert asked[0] == ipaddress.ip_address(host.partition("%")[0])
    assert not address.denied("2606:4700::a00:1", deny)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [("127.0.0.1", ["127.0.0.1"]), ("127.1", ["127.0.0.1"]), ("0x7f.1", ["127.0.0.1"]), ("2130706433", ["127.0.0.1"]),
     ("017700000001", ["127.0.0.1"]), ("0X7F000001", ["127.0.0.1"]), ("0", ["0.0.0.0"]), ("10.0.0.1.", ["10.0.0.1"]),
     ("%31%30.0.0.1", ["10.0.0.1"]), ("%3127.0.0.1", ["127.0.0.1"]), ("localhost", ["127.0.0.1", "::1"]),
     ("LOCALHOST.", ["127.0.0.1", "::1"]), ("a.localhost", ["127.0.0.1", "::1"]), ("::1", ["::1"]),
     ("fe80::1%25lo", ["fe80::1%lo"]), ("example.org", []), ("10.example", []), ("1.2.3.4.5", []), ("256.1.1.1", []),
     ("", [])],
)  # fmt: skip
def test_spellings_of_addresses(host: str, addresses: list[str]) -> None:
    assert address.spelled_addresses(host) == addresses
