import tracemalloc
from collections.abc import Iterable

import pytest
from starlette.types import Scope

from tests.unit.http.asgi import http_scope
from warehouse.http.client_address import ClientAddresses, parse_networks

PROXIES = "10.0.0.0/8, fd00::/8, fe80::/10"


def request(peer: str | None, *forwarded: bytes) -> Scope:
    scope = http_scope()
    scope["client"] = None if peer is None else (peer, 50_000)
    scope["headers"] = [(b"x-forwarded-for", each) for each in forwarded]
    return scope


def client_of(peer: str | None, *forwarded: str, proxies: str = PROXIES) -> str:
    fields = [each.encode("latin-1") for each in forwarded]
    return ClientAddresses(parse_networks(proxies)).of(request(peer, *fields))


@pytest.mark.parametrize("proxies", ["", PROXIES])
def test_what_somebody_writes_who_is_no_proxy_does_not_count(proxies: str) -> None:
    assert client_of("192.0.2.7", "198.51.100.1", proxies=proxies) == "192.0.2.7"


def test_of_what_a_proxy_passes_on_the_last_address_counts_for_the_client_may_have_written_the_others() -> None:
    assert client_of("10.0.0.1", "203.0.113.9, 10.1.1.1, 198.51.100.1") == "198.51.100.1"


def test_proxies_in_a_row_are_passed_by() -> None:
    assert client_of("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.3, fd00::2") == "198.51.100.1"


def test_several_fields_are_one_list() -> None:
    assert client_of("10.0.0.1", "203.0.113.9", "198.51.100.1, 10.0.0.3") == "198.51.100.1"


def test_a_proxy_that_tells_nothing_is_the_client() -> None:
    assert client_of("10.0.0.1") == "10.0.0.1"


def test_where_all_are_proxies_the_farthest_is_the_client() -> None:
    assert client_of("10.0.0.1", "10.0.0.3, 10.0.0.2") == "10.0.0.3"


@pytest.mark.parametrize(
    "garbage", ["", "unknown", "_hidden", "1.2.3", "1.2.3.04", "1.2.3.4/8", "é", "٣.1.1.1", "[", ":"]
)
def test_whoever_handed_on_what_is_no_address_is_the_client(garbage: str) -> None:
    field = f"198.51.100.1, {garbage}, 10.0.0.2".encode()
    assert ClientAddresses(parse_networks(PROXIES)).of(request("10.0.0.1", field)) == "10.0.0.2"


@pytest.mark.parametrize(
    ("hop", "expected"),
    [
        ("198.51.100.1:4711", "198.51.100.1"),
        ("[2001:db8:1:2:3:4:5:6]:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:3:4:5:6]", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1%eth0", "2001:db8:1:2::/64"),
    ],
)
def test_ports_brackets_and_zones_are_no_part_of_an_address(hop: str, expected: str) -> None:
    assert client_of("10.0.0.1", hop) == expected


def test_a_proxy_is_known_by_its_address_whatever_its_port_and_its_zone() -> None:
    assert client_of("fe80::1%eth0", "198.51.100.1, 10.0.0.2:80, [fd00::2]:80, fe80::2%eth1") == "198.51.100.1"


def test_an_ipv6_network_is_one_client() -> None:
    assert client_of("2001:db8:1:2:3:4:5:6") == client_of("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert client_of("2001:db8:1:3::9") != client_of("2001:db8:1:2::9")


def test_an_ipv4_address_is_the_same_when_it_comes_by_ipv6() -> None:
    assert client_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert client_of("::ffff:10.0.0.1", "::ffff:198.51.100.1") == "198.51.100.1"


@pytest.mark.parametrize("peer", [None, ""])
def test_a_peer_without_an_address_is_nobody_that_is_known(peer: str | None) -> None:
    assert client_of(peer, "198.51.100.1") == "unknown"


def test_of_a_very_long_list_the_nearest_hops_are_looked_at() -> None:
    assert client_of("10.0.0.1", ", ".join(["198.51.100.1", *["10.0.0.2"] * 100_000])) == "10.0.0.2"


def grown(clients: ClientAddresses, scopes: Iterable[Scope]) -> int:
    """Bytes that stay in use."""
    tracemalloc.start()
    try:
        for scope in scopes:
            clients.of(scope)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("peer", ["10.0.0.1", None])
def test_very_many_clients_fill_no_memory(peer: str | None) -> None:
    clients = ClientAddresses(parse_networks(PROXIES))
    addresses = [f"{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.1" for number in range(20_000)]
    scopes = [request(peer, each.encode()) if peer else request(each) for each in addresses]
    for scope in scopes[:10_000]:
        clients.of(scope)
    assert grown(clients, scopes[10_000:]) < 2_000_000


def test_very_long_hops_fill_no_memory() -> None:
    clients = ClientAddresses(parse_networks(PROXIES))
    hops = (b"2001:db8::1%" + b"x" * 10_000 + str(number).encode() for number in range(500))
    assert grown(clients, (request("10.0.0.1", hop) for hop in hops)) < 1_000_000


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy.example", "10.0.0.1/8", "10.0.0.0/8 ::1"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|host bits"):
        parse_networks(text)
