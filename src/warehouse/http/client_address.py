"""Where a request comes from, as far as that can be relied on."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

from warehouse.http.headers import all_of

Network = IPv4Network | IPv6Network

IPV6_PREFIX = 64
"""What one household or one server has of addresses at the least: within it anybody has as many as he likes."""
LONGEST_PATH = 32
"""Hops that are looked at."""
LONGEST_HOP = 64
"""Characters of one, with its port and its zone: what is longer would fill the memory in which they are looked up."""
UNKNOWN = "unknown"


def parse_networks(text: str) -> list[Network]:
    """From "10.0.0.0/8, ::1". Raises `ValueError`."""
    return [ip_network(part.strip()) for part in text.split(",") if part.strip()]


class ClientAddresses:
    """A forwarding header counts only if it comes from one of the proxies, and of its addresses only the last one that
    is not a proxy's: whatever stands before that, the client may have written."""

    def __init__(self, proxies: Sequence[Network]) -> None:
        self._proxies = tuple(proxies)
        self._is_proxy = lru_cache(maxsize=4096)(self._look_up)

    def of(self, scope: Scope) -> str:
        """An IPv4 address, or the /64 network of an IPv6 address."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not self._proxies or not self._is_proxy(peer):
            return _named(peer)
        hops = all_of(b"x-forwarded-for", scope["headers"]).split(",")[-LONGEST_PATH:]
        for hop in (_without_port(each.strip()) for each in reversed(hops)):
            if _address(hop) is None:
                break
            if not self._is_proxy(hop):
                return _named(hop)
            peer = hop
        return _named(peer)

    def _look_up(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._proxies)


@lru_cache(maxsize=4096)
def _named(text: str) -> str:
    address = _address(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_PREFIX), strict=False))
    return UNKNOWN if address is None else str(address)


def _without_port(hop: str) -> str:
    """Some proxies write the port as well, and then an IPv6 address in brackets."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Without the zone, which means something to its writer alone."""
    if len(text) > LONGEST_HOP:
        return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
