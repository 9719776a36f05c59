"""Small worlds of configuration files for the tests; every key is drawn anew."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from sidecar.config import FileConfiguration
from sidecar.core.model import Pins

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PINS = Pins(fwmark=0x1234, listen_ports=(40000, 40001))


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def conf(**changes: str | None) -> str:
    """Return a file that is right, with some keys changed; None leaves a key out."""
    interface = {"PrivateKey": new_key(), "Address": "10.64.0.2/32", "DNS": "10.64.0.1"}
    peer = {"PublicKey": new_key(), "Endpoint": "203.0.113.1:51820", "AllowedIPs": "0.0.0.0/0"}
    known_interface = {*interface, "MTU", "PostUp", "ListenPort"}
    for key, value in changes.items():
        (interface if key in known_interface else peer)[key] = value  # type: ignore[assignment]
    lines = ["[Interface]", *_pairs(interface), "", "[Peer]", *_pairs(peer)]
    return "\n".join(lines) + "\n"


def _pairs(section: Mapping[str, str | None]) -> list[str]:
    return [f"{key} = {value}" for key, value in section.items() if value is not None]


def gluetun(**changes: str | None) -> dict[str, str]:
    """Return variables that make one endpoint, with some changed; None leaves one out."""
    variables: dict[str, str | None] = {
        "WIREGUARD_PRIVATE_KEY": new_key(),
        "WIREGUARD_PUBLIC_KEY": new_key(),
        "WIREGUARD_ADDRESSES": "10.64.0.2/32",
        "WIREGUARD_ENDPOINT_IP": "203.0.113.1",
        "WIREGUARD_ENDPOINT_PORT": "51820",
        "DNS_ADDRESS": "10.64.0.1",
        **changes,
    }
    return {name: value for name, value in variables.items() if value is not None}


class ConfigFiles:
    """A configuration directory and a directory of secrets, made by the test."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "etc"
        self.endpoints = self.directory / "endpoints"
        self.secrets = root / "secrets"
        self.toml = self.directory / "sidecar.toml"
        self.endpoints.mkdir(parents=True)
        self.secrets.mkdir()
        self.environ: dict[str, str] = {}

    def write(self, name: str, text: str) -> Path:
        path = self.endpoints / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    def configuration(self) -> FileConfiguration:
        return FileConfiguration(
            pins=PINS, environ=self.environ, directory=self.directory, secrets_directory=self.secrets
        )
