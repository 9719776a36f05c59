"""Whatever is written: a plan or a ConfigError, nothing else; and no secret in any word that comes out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.errors import ConfigError
from tests.unit.config.builders import ConfigFiles, conf, gluetun

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
KEYS = (
    *("PrivateKey", "Address", "DNS", "MTU", "PublicKey", "PresharedKey", "Endpoint", "AllowedIPs"),
    *("PersistentKeepalive", "PostUp", "ListenPort", "Privatekeys", ""),
)
VALUES = (
    *("10.64.0.2/32", "fd00:64::2/128", "0.0.0.0/0, ::/0", "203.0.113.1:51820", "[2001:db8::1]:1", "1420", "off", "25"),
    *("", ",", "=", "/", "[", "]:", "%", "fe80::1%eth0", "1.2.3.4/", "a" * 300, "\x00", "\u2028", "é", "\u0661"),
)

keys = st.builds(
    lambda body, last: body + last + "=", st.text(BASE64, min_size=42, max_size=42), st.sampled_from("AEIM048")
)
lines = st.one_of(
    st.sampled_from(["[Interface]", "[Peer]", "[", "[]", "# comment", ""]),
    st.builds("{} = {}".format, st.sampled_from(KEYS), st.sampled_from(VALUES) | keys | st.text(max_size=30)),
    st.text(max_size=60),
)
endings = st.sampled_from(["\n", "\r\n", "\r"])

positions = st.sampled_from(
    [
        "{}",
        "{} = ",
        "= {}",
        "{0} = {0}",
        "[{}]",
        "MTU = {}",
        "Address = {}",
        "DNS = {}",
        "DNS = {}.example",
        "PublicKey = {} ",
        "PublicKey: {}",
        "PrivateKey = {}x",
        "PrivateKey = {} {}",
        "PresharedKey = '{}'",
        "Endpoint = {}",
        "Endpoint = {}:51820",
        "Endpoint = [{}]:51820",
        "Endpoint = 203.0.113.1:{}",
        "AllowedIPs = {}",
        "AllowedIPs = {}/0",
        "PersistentKeepalive = {}",
        "PostUp = echo {}",
        "Colour = {}",
    ]
)


@pytest.fixture(scope="module")
def shared() -> Iterator[ConfigFiles]:
    """One directory for all examples of a test: hypothesis runs a hundred of them."""
    with tempfile.TemporaryDirectory() as directory:
        yield ConfigFiles(Path(directory))


def words_of(files: ConfigFiles) -> str:
    """Load, and return every word that an operator or a log could get to see of it."""
    configuration = files.configuration()
    mistakes: tuple[ConfigError, ...] = ()
    try:
        said = repr(configuration.load())
    except ConfigError as error:
        mistakes = error.every
        said = "\n".join([str(error), *(f"{mistake} {mistake!r}" for mistake in mistakes)])
    assert all(mistake.attempted and mistake.got and mistake.remedy for mistake in mistakes)
    return "\n".join([said, *configuration.warnings, repr(vars(configuration)), configuration.fingerprint()])


@given(st.lists(lines, max_size=25), endings)
def test_any_lines_give_a_plan_or_a_config_error(shared: ConfigFiles, written: list[str], ending: str) -> None:
    shared.write("a.conf", "").write_bytes(ending.join(written).encode("utf-8", "surrogatepass"))
    assert words_of(shared)


@given(st.data(), endings)
def test_a_right_file_with_a_line_put_in_gives_a_plan_or_a_config_error(
    shared: ConfigFiles, data: st.DataObject, ending: str
) -> None:
    right = conf().splitlines()
    at = data.draw(st.integers(0, len(right)))
    inserted = data.draw(lines)
    shared.write("a.conf", "").write_bytes(
        ending.join([*right[:at], inserted, *right[at:]]).encode("utf-8", "surrogatepass")
    )
    assert words_of(shared)


@given(st.binary(max_size=200))
@example(b"\xff\xfe[\x00")
def test_any_bytes_give_a_plan_or_a_config_error(shared: ConfigFiles, data: bytes) -> None:
    shared.write("a.conf", "").write_bytes(data)
    assert words_of(shared)


@given(keys, positions, st.sampled_from([1, 2, 6, 7, 8, 99]))
@settings(max_examples=300)
def test_a_secret_in_any_place_of_a_file_is_never_shown(
    shared: ConfigFiles, secret: str, position: str, at: int
) -> None:
    # The key of the line that is put in is taken out first, or it would only be refused as given twice.
    key = position.partition(" = ")[0]
    right = [line for line in conf(PresharedKey=secret).splitlines() if key == "{}" or not line.startswith(f"{key} =")]
    shared.write("a.conf", "\n".join([*right[:at], position.format(secret, secret), *right[at:]]))
    said = words_of(shared)
    assert secret not in said
    assert secret[:43] not in said
    assert secret[:20] not in said


@given(keys, st.integers(min_value=20, max_value=42))
def test_a_secret_broken_over_two_lines_is_never_shown(shared: ConfigFiles, secret: str, at: int) -> None:
    shared.write("a.conf", f"[Interface]\nPrivateKey = {secret[:at]}\n{secret[at:]}\n")
    with pytest.raises(ConfigError) as caught:
        shared.configuration().load()
    assert caught.value.attempted.endswith("a.conf line 3")
    assert caught.value.got == "this line is not `Key = value`"


@given(keys, st.sampled_from(sorted(gluetun())), st.booleans())
def test_a_secret_in_any_variable_is_never_shown(
    tmp_path_factory: pytest.TempPathFactory,
    secret: str,
    name: str,
    is_file: bool,  # noqa: FBT001 - drawn
) -> None:
    files = ConfigFiles(tmp_path_factory.mktemp("variables"))
    files.environ = gluetun(**{name: secret})
    if is_file:
        (files.secrets / name.lower()).write_text(files.environ.pop(name))
    said = words_of(files)
    if name != "WIREGUARD_PUBLIC_KEY":
        assert secret[:20] not in said
    assert files.environ.get("WIREGUARD_PRIVATE_KEY", secret)[:20] not in said


@given(st.text(max_size=200))
@example("a = " + "[" * 5000)
@example("[health]\ncycle_s = 1979-05-27")
@example("[health]\nprobe_targets = [[1]]")
@example("[health.cycle_s]\nx = 1")
@example("[[health]]\nx = 1")
def test_any_settings_give_a_plan_or_a_config_error_and_always_a_process(shared: ConfigFiles, text: str) -> None:
    shared.toml.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        shared.write("a.conf", conf())
        assert words_of(shared)
        assert shared.configuration().process_or_defaults()
    finally:
        shared.toml.unlink()
