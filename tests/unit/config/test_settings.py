"""The numbers: TOML, variables over it, ranges, and what must agree."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.config import Implementation, Process
from sidecar.config.settings import SETTINGS, table
from sidecar.core.model import OnLeak, ProbeKind, ProbeTarget, Timing
from sidecar.errors import ConfigError
from tests.unit.config.builders import conf

if TYPE_CHECKING:
    from tests.unit.config.builders import ConfigFiles

ROOT = Path(__file__).parents[3]


def refusal(files: ConfigFiles) -> ConfigError:
    files.write("a.conf", conf())
    with pytest.raises(ConfigError) as caught:
        files.configuration().load()
    return caught.value


def test_without_a_file_the_defaults_hold(files: ConfigFiles) -> None:
    files.write("a.conf", conf())
    plan = files.configuration().load()
    assert plan.timing == Timing()
    assert (plan.device, plan.wrap, plan.rebind, plan.on_leak) == ("wg0", False, True, OnLeak.SEAL)
    assert files.configuration().load_process() == Process()


def test_every_setting_is_read_from_toml(files: ConfigFiles) -> None:
    files.write("a.conf", conf())
    files.toml.write_text(
        """
[health]
preset = "fast"
cycle_s = 5
probe_timeout_s = 2.5
probe_targets = ["dns://10.64.0.1", "icmp://192.0.2.10"]
stall_cycles = 7
[failover]
threshold_cycles = 4
rebind = false
wrap = true
wrap_hold_down_s = 90
exhausted_first_retry_s = 2.0
exhausted_last_retry_s = 30.0
[tunnel]
implementation = "userspace"
device = "tunnel0"
[leak]
on_leak = "pause"
[docker]
socket = "/run/docker.sock"
[log]
format = "json"
level = "debug"
"""
    )
    plan = files.configuration().load()
    assert plan.timing == Timing(5.0, 2.5, 4, 7, 2.0, 30.0, 90.0)
    assert plan.probe_targets == (
        ProbeTarget(ProbeKind.DNS, ip_address("10.64.0.1")),
        ProbeTarget(ProbeKind.ICMP, ip_address("192.0.2.10")),
    )
    assert (plan.device, plan.wrap, plan.rebind, plan.on_leak) == ("tunnel0", True, False, OnLeak.PAUSE)
    assert files.configuration().load_process() == Process(
        Implementation.USERSPACE, Path("/run/docker.sock"), "json", "DEBUG"
    )


def test_every_setting_is_read_from_a_variable_a_file_and_a_secret(files: ConfigFiles) -> None:
    files.write("a.conf", conf())
    (files.directory / "threshold").write_text("9\n")
    (files.secrets / "sidecar_health_stall_cycles").write_text("11")
    files.environ = {
        "SIDECAR_HEALTH_PRESET": "FAST",
        "SIDECAR_HEALTH_PROBE_TARGETS": "icmp://192.0.2.10, dns://10.64.0.1",
        "SIDECAR_FAILOVER_THRESHOLD_CYCLES_FILE": str(files.directory / "threshold"),
        "SIDECAR_FAILOVER_WRAP": "yes",
        "SIDECAR_TUNNEL_DEVICE": "wg1",
    }
    plan = files.configuration().load()
    assert (plan.timing.cycle_s, plan.timing.probe_timeout_s) == (0.5, 0.4)
    assert (plan.timing.threshold_cycles, plan.timing.stall_cycles) == (9, 11)
    assert len(plan.probe_targets) == 2
    assert (plan.wrap, plan.device) == (True, "wg1")


def test_a_variable_wins_over_toml(files: ConfigFiles) -> None:
    files.write("a.conf", conf())
    files.toml.write_text("[failover]\nthreshold_cycles = 4\n")
    files.environ = {"SIDECAR_FAILOVER_THRESHOLD_CYCLES": "6"}
    assert files.configuration().load().timing.threshold_cycles == 6


BAD_TOML = [
    # the file, its line, what is said, what to do
    ("[health]\ncycle_s = 61", 2, "health.cycle_s: 61 is out of range", "0.1 to 60 seconds"),
    ("[health]\ncycle_s = 0.05", 2, "0.05 is out of range", "0.1 to 60 seconds"),
    ("[health]\ncycle_s = nan", 2, "nan is out of range", "0.1 to 60 seconds"),
    ("[health]\ncycle_s = inf", 2, "inf is out of range", "0.1 to 60 seconds"),
    ("[health]\ncycle_s = true", 2, "is not a number", "without quotes"),
    ('[health]\ncycle_s = "2"', 2, "is not a number", "without quotes"),
    ("[failover]\nthreshold_cycles = 0", 2, "0 is out of range", "1 to 100 cycles"),
    ("[failover]\nthreshold_cycles = 101", 2, "101 is out of range", "1 to 100 cycles"),
    ("[failover]\nthreshold_cycles = 2.5", 2, "is not a whole number", "1 to 100 cycles"),
    ("[failover]\nwrap = 1", 2, "neither true nor false", "true or false"),
    ('[leak]\non_leak = "stopp"', 2, '"stopp" is no choice', "use stop"),
    ('[leak]\non_leak = "shout"', 2, '"shout" is no choice', "seal, pause, stop"),
    ("[leak]\non_leak = 3", 2, "is not text in quotes", "in quotes"),
    ('[leak]\non_leak = "stop"', 2, "there is no docker.socket", "mount the engine's socket"),
    ('[docker]\nsocket = "docker.sock"', 2, "not an absolute path", "an absolute path"),
    ('[tunnel]\ndevice = "eth0"', 2, '"eth0" cannot name the tunnel', "wg0"),
    ('[tunnel]\ndevice = "lo"', 2, "cannot name the tunnel", "wg0"),
    ('[tunnel]\ndevice = "a/b"', 2, "cannot name the tunnel", "wg0"),
    ('[tunnel]\ndevice = "sixteen-letters0"', 2, "cannot name the tunnel", "wg0"),
    ('[health]\nprobe_targets = "dns://10.64.0.1"', 2, "is not a list", "in a list"),
    ('[health]\nprobe_targets = ["10.64.0.1"]', 2, "is not a probe target", "icmp://ADDRESS"),
    ('[health]\nprobe_targets = ["icmp://example.com"]', 2, "is not an IP address", "write an IPv4"),
    ('[health]\nprobe_targets = ["icmp://127.0.0.1"]', 2, "loopback", "one host"),
    ('[health]\nprobe_targets = ["icmp://[2001:db8::1]"]', 2, "the tunnel has no IPv6 address", "tunnel's family"),
    ('[health]\nprobe_targets = ["icmp://203.0.113.1"]', 2, "the address of an endpoint", "behind the tunnel"),
    ('[health]\nprobe_targets = ["icmp://10.64.0.2"]', 2, "the tunnel's own address", "behind the tunnel"),
    ("[health]\nprobe_targets = " + str([f"icmp://192.0.2.{n}" for n in range(17)]), 2, "17 targets", "16 at most"),
    ("[health]\n\ncycle_s = 2\nprobe_timeout_s = 2", 4, "health.cycle_s only 2", "below health.cycle_s"),
    ("[health]\ncycle_s = 0.5", 2, "health.probe_timeout_s is 1", "below health.cycle_s"),
    ("[failover]\nexhausted_first_retry_s = 61", 2, "above failover.exhausted_last_retry_s", "as high as the first"),
    ("[health]\n# so\ncycles_s = 2", 3, '"health.cycles_s" is unknown', "write health.cycle_s"),
    ("[health]\ncolour = 2", 2, '"health.colour" is unknown', "docs/configuration.md"),
    ("[helth]\ncycle_s = 2", 1, '"helth" is unknown', "write [health]"),
    ("treshold_cycles = 2", 1, "is unknown", "write [failover], and threshold_cycles below it"),
    ("[colour]", 1, '"colour" is unknown', "the tables are"),
    ("health = 3", 1, "health is a table", "write [health]"),
    ("[health]\ncycle_s == 2", 2, "not TOML", "toml.io"),
    ("[health\n", 1, "not TOML", "toml.io"),
    ("[health]\ncycle_s = 1\ncycle_s = " + "1" * 5000, None, "not TOML", "toml.io"),
]


@pytest.mark.parametrize("case", BAD_TOML, ids=lambda case: case[0][:60])
def test_a_bad_setting_is_refused_with_its_line_and_a_remedy(
    files: ConfigFiles, case: tuple[str, int | None, str, str]
) -> None:
    text, line, got, remedy = case
    files.toml.write_text(text)
    error = refusal(files)
    assert error.attempted == f"read {files.toml}" + ("" if line is None else f" line {line}")
    assert got in error.got
    assert remedy in error.remedy


BAD_VARIABLES = [
    ({"SIDECAR_HEALTH_CYCLE_S": "1e1"}, "SIDECAR_HEALTH_CYCLE_S", "is not a number", "0.1 to 60 seconds"),
    ({"SIDECAR_HEALTH_CYCLE_S": "90"}, "SIDECAR_HEALTH_CYCLE_S", "out of range", "0.1 to 60 seconds"),
    ({"SIDECAR_FAILOVER_WRAP": "maybe"}, "SIDECAR_FAILOVER_WRAP", "neither true nor false", "true or false"),
    ({"SIDECAR_FAILOVER_TRESHOLD": "3"}, "SIDECAR_FAILOVER_TRESHOLD", "unknown", "SIDECAR_FAILOVER_THRESHOLD_CYCLES"),
    ({"SIDECAR_NONSENSE_OF_MINE": "3"}, "SIDECAR_NONSENSE_OF_MINE", "unknown", "remove it"),
    ({"SIDECAR_LOG_LEVEL_FILE": "/no/such"}, "/no/such (named by SIDECAR_LOG_LEVEL_FILE)", "no such file", "put"),
]


@pytest.mark.parametrize("case", BAD_VARIABLES, ids=lambda case: case[1])
def test_a_bad_variable_is_refused_by_name_with_a_remedy(
    files: ConfigFiles, case: tuple[dict[str, str], str, str, str]
) -> None:
    files.environ, where, got, remedy = case
    error = refusal(files)
    assert error.attempted == f"read {where}"
    assert got in error.got
    assert remedy in error.remedy


def test_an_unreadable_settings_file_is_refused_and_not_taken_for_absent(files: ConfigFiles) -> None:
    files.toml.mkdir()
    assert "not a regular file" in refusal(files).got


def test_broken_settings_leave_a_usable_process(files: ConfigFiles) -> None:
    files.toml.write_text('[log]\nformat = "json"\nlevel = "loud"\n[failover]\nthreshold_cycles = 0\n')
    configuration = files.configuration()
    with pytest.raises(ConfigError):
        configuration.load_process()
    assert configuration.process_or_defaults() == Process(log_format="json")


def test_a_settings_file_that_is_not_toml_leaves_a_usable_process(files: ConfigFiles) -> None:
    files.toml.write_text("[[[")
    files.environ = {"SIDECAR_LOG_FORMAT": "json"}
    assert files.configuration().process_or_defaults() == Process(log_format="json")


def test_the_documented_table_is_the_one_in_the_code() -> None:
    assert table() in (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_example_names_every_setting_and_changes_nothing(files: ConfigFiles) -> None:
    text = (ROOT / "sidecar.toml.example").read_text(encoding="utf-8")
    tables = re.split(r"(?m)^\[(\w+)\]$", text)[1:]
    named = {
        f"{name}.{key}"
        for name, body in zip(tables[::2], tables[1::2], strict=True)
        for key in re.findall(r"(?m)^# (\w+) =", body)
    }
    assert named == {setting.key for setting in SETTINGS}
    files.write("a.conf", conf())
    plain = files.configuration().load()
    files.toml.write_text(text)
    assert files.configuration().load() == plain


def test_the_examples_values_are_accepted(files: ConfigFiles) -> None:
    text = (ROOT / "sidecar.toml.example").read_text(encoding="utf-8")
    files.write("a.conf", conf())
    files.toml.write_text(re.sub(r"(?m)^# (\w+ =)", r"\1", text))
    assert files.configuration().load().timing == Timing()
