# SPDX-License-Identifier: BSD-2-Clause
"""What a device says about itself: the values of its identity registers, and the configuration in them."""

from mixpe_gateware.contract.config import OPTIONAL_PARTS, PARAMETERS, Config
from mixpe_gateware.contract.digest import VERSION, digest
from mixpe_gateware.contract.fields import of_parts
from mixpe_gateware.contract.registers import IDENTITY, MAGIC

FEATURES = next(register for register in IDENTITY if register.name == "features")


def identity_values(config, *, clock_hz, mem_base, mem_bytes, inbox_base=0):
    """Values of the identity registers of one build, by name."""
    value = digest(config.parts)
    return {
        "magic":       MAGIC,
        "version":     VERSION,
        "digest_low":  value & 0xFFFFFFFF,
        "digest_high": value >> 32,
        "clock_hz":    int(clock_hz),
        "features":    sum(FEATURES.field(each.name).put(each.encode(config)) for each in PARAMETERS if each.is_flag),
        **{each.name: each.encode(config) for each in of_parts(PARAMETERS, config.parts) if not each.is_flag},
        "mem_base":    mem_base,
        "mem_bytes":   mem_bytes,
        "inbox_base":  inbox_base,
    }


def parts_from_identity(values):
    """Optional parts of the contract that a device says it has: tuple of names."""
    return tuple(name for name in OPTIONAL_PARTS if FEATURES.field(name).of(values["features"]))


def config_from_identity(values):
    """Configuration of a device from its identity registers, those of its optional parts among them.

    Raises
    ------
    ConfigError
        No device can have it.
    """
    parts = parts_from_identity(values)
    return Config(**{each.name: each.decode(FEATURES.field(each.name).of(values["features"]) if each.is_flag
        else values[each.name]) for each in of_parts(PARAMETERS, parts)})
