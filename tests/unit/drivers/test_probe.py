from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.model import ProbeKind, ProbeTarget
from sidecar.drivers.probe import DnsQuestion, EchoQuestion, SocketProber
from sidecar.errors import ProbeError

ASKED = b"\0\0\x02\0\x01"


def answer(question: DnsQuestion, *, flags: int = 0x8180, questions: int = 1, asked: bytes = ASKED) -> bytes:
    return question.packet[:2] + struct.pack("!HHHHH", flags, questions, 0, 0, 0) + asked


def test_a_dns_question_is_one_for_the_roots_name_servers() -> None:
    packet = DnsQuestion().packet
    assert struct.unpack("!HHHHH", packet[2:12]) == (0x0100, 1, 0, 0, 0)
    assert packet[12:] == ASKED


@pytest.mark.parametrize("flags", [0x8180, 0x8183, 0x8185, 0x8382], ids=["found", "none", "refused", "truncated"])
def test_any_response_to_the_question_is_an_answer(flags: int) -> None:
    question = DnsQuestion()
    assert question.is_answered_by(answer(question, flags=flags))
    assert question.is_answered_by(answer(question, flags=flags) + b"records")


def test_what_does_not_belong_to_the_question_is_no_answer() -> None:
    question = DnsQuestion()
    assert not question.is_answered_by(question.packet)
    assert not question.is_answered_by(answer(question, flags=0x0180))
    assert not question.is_answered_by(answer(question, questions=0))
    assert not question.is_answered_by(answer(question, asked=b"\0\0\x01\0\x01"))
    other = bytes((question.packet[0] ^ 1,)) + answer(question)[1:]
    assert not question.is_answered_by(other)


def test_dns_identifiers_are_drawn_anew() -> None:
    assert len({DnsQuestion().packet[:2] for _ in range(50)}) > 40


def echoed(question: EchoQuestion, kind: int, *, code: int = 0) -> bytes:
    return bytes((kind, code)) + question.packet[2:]


def with_ip(packet: bytes, *, words: int = 5) -> bytes:
    return bytes((0x40 | words,)) + bytes(words * 4 - 1) + packet


def test_an_echo_request_has_a_right_checksum() -> None:
    packet = EchoQuestion(4).packet
    assert packet[:2] == b"\x08\0"
    total = sum(word for (word,) in struct.iter_unpack("!H", packet))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


def test_the_echo_of_the_very_token_is_an_answer() -> None:
    four, six = EchoQuestion(4), EchoQuestion(6)
    assert four.is_answered_by(with_ip(echoed(four, 0)))
    assert four.is_answered_by(with_ip(echoed(four, 0), words=7))
    assert six.packet[0] == 128
    assert six.is_answered_by(echoed(six, 129))


def test_what_is_not_the_echo_is_no_answer() -> None:
    question = EchoQuestion(4)
    assert not question.is_answered_by(with_ip(question.packet))
    assert not question.is_answered_by(with_ip(echoed(question, 3)))
    assert not question.is_answered_by(with_ip(echoed(question, 0, code=1)))
    assert not question.is_answered_by(with_ip(echoed(EchoQuestion(4), 0)))
    assert not question.is_answered_by(with_ip(echoed(question, 0)[:-1]))
    six = EchoQuestion(6)
    assert not six.is_answered_by(six.packet)
    assert not six.is_answered_by(echoed(EchoQuestion(6), 129))


@given(st.binary(max_size=100))
def test_noise_answers_nothing_and_breaks_nothing(noise: bytes) -> None:
    for question in (DnsQuestion(), EchoQuestion(4), EchoQuestion(6)):
        assert not question.is_answered_by(noise)


def test_without_a_target_there_is_nothing_to_send() -> None:
    with pytest.raises(ProbeError, match="there is no target; name a resolver"):
        SocketProber().probe((), "lo", 1.0)


def test_a_device_that_is_not_there_is_an_error_and_not_a_dead_tunnel() -> None:
    targets = (ProbeTarget(ProbeKind.DNS, ip_address("127.0.0.1")), ProbeTarget(ProbeKind.DNS, ip_address("::1")))
    with pytest.raises(ProbeError, match="probe through nosuch0"):
        SocketProber().probe(targets, "nosuch0", 1.0)
