"""Port shadow: one table of connections for everybody who shares an address, and no word with the sockets on it.

Netfilter gives a translated connection a source port without asking whether a socket has it. A host behind the
translator that sends from the VPN's own port makes an entry, and what is meant for the socket on that port then goes to
that host: a denial of service, or worse. An entry is also what "established" means to a firewall that asks for state,
so who can make one opens the way in for its answers.

Here the tunnel's packets are kept out of the table (`notrack`), nothing is forwarded, and no rule of an uplink asks for
state.

Source: CVE-2021-3773; "Port Shadows via Network Alchemy", Breakpointing Bad, 2021.
"""

from __future__ import annotations

import select
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from tests.netns.attacks.scene import may_be_refused
from tests.netns.findings.victim import (
    DEADLINE_S,
    ENDPOINT_PORT,
    OWN,
    PORTS,
    PRIMARY,
    ROUTER,
    datagram,
    new_token,
    to_sidecar,
    udp,
)
from tests.waiting import wait_until

if TYPE_CHECKING:
    import socket

    from tests.netns.findings.victim import Victim

SHADOW = IPv4Address("10.77.0.66")
TUNNEL_PORT = PORTS[1]  # the tunnel may use it and does not, so that the test can listen there
NOT_COMING_S = 0.3
TRANSLATOR = """
table ip others {
    chain postrouting {
        type nat hook postrouting priority 100; policy accept;
        oifname "eth0" ip saddr 10.77.0.66 masquerade
    }
}
"""
STATEFUL = """
table inet stateful {
    chain input {
        type filter hook input priority 10; policy accept;
        iifname "eth0" ct state established,related accept
        iifname "eth0" udp dport 40002 drop
    }
}
"""


def hears(opened: socket.socket, token: bytes, within_s: float) -> bool:
    readable, _, _ = select.select([opened], [], [], within_s)
    return bool(readable) and token in opened.recv(100)


@pytest.fixture
def translating(victim: Victim) -> Victim:
    """The victim as a router that translates, as the attack needs it. Behind it: the router's second address."""
    victim.stage.router.ip("address", "add", f"{SHADOW}/24", "dev", "down0")
    victim.stage.sidecar.sysctl("net/ipv4/ip_forward", "1")
    victim.stage.sidecar.sysctl("net/ipv4/conf/eth0/send_redirects", "0")
    victim.stage.sidecar.nft(TRANSLATOR)
    return victim


def test_a_host_that_uses_the_tunnel_s_port_does_not_get_the_tunnel_s_answers(translating: Victim) -> None:
    victim = translating

    def shadow() -> None:
        """Have the host behind us send from the tunnel's port, then the VPN server to that port."""
        from_behind = datagram((SHADOW, TUNNEL_PORT), (PRIMARY, ENDPOINT_PORT), new_token())
        victim.from_the_lan(to_sidecar(from_behind))
        victim.from_the_lan(to_sidecar(datagram((PRIMARY, ENDPOINT_PORT), (OWN, TUNNEL_PORT), answer)))

    def is_diverted(frame: bytes) -> bool:
        return answer in frame and frame[30:34] == SHADOW.packed

    with udp(TUNNEL_PORT) as tunnel:
        answer = new_token()
        victim.require_control(shadow, is_diverted)
        assert not hears(tunnel, answer, NOT_COMING_S), "the control: what is diverted is missing here"
        victim.seal_off()
        answer = new_token()
        assert victim.out_of(shadow, is_diverted) == []
        assert hears(tunnel, answer, DEADLINE_S)


def test_who_was_sent_something_from_the_tunnel_s_port_is_not_let_in_by_that(victim: Victim) -> None:
    with udp(TUNNEL_PORT) as workload:

        def is_let_in() -> bool:
            token = new_token()
            with may_be_refused():
                workload.sendto(b"an entry", (str(ROUTER), ENDPOINT_PORT))
            victim.from_the_lan(to_sidecar(datagram((ROUTER, ENDPOINT_PORT), (OWN, TUNNEL_PORT), token)))
            return hears(workload, token, NOT_COMING_S)

        victim.stage.sidecar.nft(STATEFUL)
        wait_until(is_let_in, DEADLINE_S, "the control: a firewall that asks for state lets the answer in")
        victim.seal_off()
        assert not is_let_in()
