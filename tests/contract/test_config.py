# SPDX-License-Identifier: BSD-2-Clause
"""Configurations that can be built, and those that cannot."""

import pytest

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.errors import ConfigError


@pytest.mark.parametrize("field, value", [
    ("port_bits", 8), ("port_bits", 256), ("port_bits", "128"),
    ("rows", 0), ("rows", 3), ("rows", 128), ("rows", 2.0), ("rows", -4),
    ("k_max", 256), ("k_max", 32768), ("k_max", 1000),
    ("buffer_beats", 32), ("buffer_beats", 32768), ("buffer_beats", 100),
    ("queue_depth", 1), ("queue_depth", 128), ("queue_depth", 6),
    ("scalers", 0), ("scalers", 3), ("scalers", 16),
    ("read_ports", 0), ("read_ports", 3),
    ("pe", "multiplier"),
    ("minima", 2), ("minima", "yes"),
    ("attention_heads", 5), ("attention_lanes", 1), ("attention_lanes", 32), ("attention_lanes", 6),
    ("context_max", 32), ("head_max", 16), ("head_max", 512), ("head_max", 96),
])
def test_bad_value_is_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=rf"{field}.*{value}"):
        Config(**{field: value})


@pytest.mark.parametrize("port_bits, lanes, beat_bytes", [(16, 4, 2), (32, 8, 4), (64, 16, 8), (128, 32, 16)])
def test_lanes_follow_the_port(port_bits, lanes, beat_bytes):
    config = Config(port_bits=port_bits)
    assert (config.lanes, config.beat_bytes) == (lanes, beat_bytes)
    assert config.act_words*lanes == config.k_max
    assert config.name == f"8x{lanes}"


@pytest.mark.parametrize("rows, port_bits, scalers", [(8, 128, 8), (32, 32, 8), (2, 16, 1), (1, 128, 1), (64, 128, 64)])
def test_scalers_keep_groups_of_32_going(rows, port_bits, scalers):
    config = Config(rows=rows, port_bits=port_bits)
    assert config.scalers == scalers and Config(**config.to_dict()) == config


def test_dict_builds_the_same_configuration():
    config = Config(rows=4, port_bits=32, k_max=2048, scalers=1, fused=False)
    assert Config(**config.to_dict()) == config


def test_minima_are_for_fused_results():
    assert Config(minima=True).parts == ("minima",) and Config().parts == ()
    with pytest.raises(ConfigError, match="minima must be .*fused=False, not True"):
        Config(minima=True, fused=False)
