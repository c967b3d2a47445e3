# SPDX-License-Identifier: BSD-2-Clause
"""The tables of registers, descriptor words and parameters: whole in themselves, and what follows from them."""

import dataclasses

import pytest

from mixpe_gateware.contract import config as config_table
from mixpe_gateware.contract import registers
from mixpe_gateware.contract.config import PARAMETERS, PE_KINDS, Config
from mixpe_gateware.contract.descriptor import FLAGS, INDEX, POST, SLOT_WORDS, WORDS, flag_bits, fold_words
from mixpe_gateware.contract.digest import digest
from mixpe_gateware.contract.errors import ConfigError, RangeError
from mixpe_gateware.contract.fields import WORD_BITS
from mixpe_gateware.contract.identity import config_from_identity, identity_values, parts_from_identity
from mixpe_gateware.contract.jobs import Job
from mixpe_gateware.contract.registers import Effect

JOB = Job(weights_addr=10, act_addr=11, out_addr=12, n=13, k=14, m=15, group=5, out_bytes=17, tag=18, fused=True,
    shift=True)


def test_names_and_offsets():
    names = [register.name for register in registers.REGISTERS]
    assert len(set(names)) == len(names)
    assert [registers.OFFSETS[name] for name in names] == list(range(0, 4*len(names), 4))
    assert 4*len(names) <= registers.CSR_PAGE_BYTES
    assert all(register.access in registers.ACCESS and register.text for register in registers.REGISTERS)


@pytest.mark.parametrize("parts", [(), ("minima",), ("decoder",), ("minima", "decoder")])
def test_registers_of_optional_parts_stand_behind_all_others(parts):
    """So each build has a bank without holes, and what all builds have is at the same place in all."""
    found = registers.registers_of(parts)
    assert [registers.OFFSETS[register.name] for register in found] == list(range(0, 4*len(found), 4))
    assert [register.name for register in found if register.part] == (
        ["attention_heads", "attention_lanes", "context_max", "head_max", "run_tokens", "run_record"]
        if "decoder" in parts else [])
    names = registers.counters_of(parts)
    assert names[:len(registers.COUNTERS)] == registers.COUNTERS
    assert (len(names) > len(registers.COUNTERS)) == ("decoder" in parts)
    assert 8*len(names) <= registers.CSR_PAGE_BYTES


@pytest.mark.parametrize("word", [*registers.REGISTERS, *WORDS], ids=lambda word: word.name)
def test_fields_lie_side_by_side_in_a_word(word):
    end = 0
    for field in word.fields:
        assert field.lsb >= end and field.width > 0 and field.text
        assert all(code <= field.largest and text for code, text in field.values)
        end = field.lsb + field.width
    assert end <= WORD_BITS
    assert len({field.name for field in word.fields}) == len(word.fields)


def test_only_what_can_be_written_has_an_effect():
    effects = {register.effect for register in registers.REGISTERS if register.access != "ro"}
    assert effects == set(Effect)
    assert not [register for register in registers.REGISTERS if register.access == "ro" and register.effect.value]


def test_a_field_of_a_word():
    field = registers.STATUS_POSTED
    assert field.put(0x5A) == 0x5A00 and field.of(0xFFFF5AFF) == 0x5A and field.mask == 0xFF00 and field.msb == 15
    for value in (256, -1):
        with pytest.raises(RangeError, match=f"posted must be 0 … 255, not {value}"):
            field.put(value)
    with pytest.raises(KeyError, match="status has no field 'idle'"):
        registers.STATUS.field("idle")


def test_job_registers_are_the_words_of_a_job():
    """In the order of `Job.words`, the last one posts."""
    by_name = dict(zip((register.name for register in registers.JOB), JOB.words(), strict=True))
    assert by_name | {"job_weights_addr": 10, "job_act_addr": 11, "job_out_addr": 12, "job_n": 13, "job_k": 14,
        "job_m": 15, "job_flags": 5 | 1 << 4 | 1 << 6, "job_out_bytes": 17, "job_tag": 18} == by_name
    assert [register.effect for register in registers.JOB] == [Effect.WORD]*POST + [Effect.POST]
    assert INDEX["tag"] == POST < SLOT_WORDS and SLOT_WORDS & (SLOT_WORDS - 1) == 0


def test_every_field_of_the_words_is_an_attribute_of_a_job():
    named = [name for word in WORDS for name in ([field.name for field in word.fields] or [word.name])]
    assert sorted(named) == sorted(field.name for field in dataclasses.fields(Job))


def test_a_job_there_and_back():
    assert Job.from_words(JOB.words()) == JOB
    for parts in ((), ("minima",)):
        assert sum(field.mask for field in FLAGS.fields_of(parts)) == (1 << flag_bits(parts)) - 1
    assert flag_bits(()) == 7 and FLAGS.mask == (1 << flag_bits(("minima",))) - 1
    for bit in range(flag_bits(("minima",)), WORD_BITS):
        words = JOB.words()
        words[INDEX["flags"]] |= 1 << bit
        assert Job.from_words(words) is None
    with pytest.raises(RangeError, match="group must be 0 … 7, not 8"):
        dataclasses.replace(JOB, group=8).words()


def test_check_word():
    assert fold_words([1]) == 1 and fold_words([0x80000000, 0]) == 1 and fold_words([1, 1]) == 3
    words = JOB.words()
    swapped = [*words[:-2], words[-1], words[-2]]
    assert len({fold_words(words), fold_words(swapped), fold_words(words[:-1])}) == 3


@pytest.mark.parametrize("config", [
    Config(), Config(rows=1, port_bits=16, k_max=512, buffer_beats=64, queue_depth=2, fused=False, scalers=1),
    Config(rows=64, port_bits=64, scalers=8, read_ports=4, pe=PE_KINDS[-1]),
    Config(port_bits=128, memory_bits=32, inbox_bytes=4096), Config(minima=True),
    Config(decoder=True, attention_heads=3, context_max=1024, head_max=64), Config(minima=True, decoder=True),
])
def test_identity_there_and_back(config):
    values = identity_values(config, clock_hz=50e6, mem_base=0x40000000, mem_bytes=1 << 25)
    told = (*registers.IDENTITY, *(registers.OPTIONAL_IDENTITY if config.decoder else ()))
    assert set(values) == {register.name for register in told} <= {register.name
        for register in registers.registers_of(config.parts)}
    assert all(isinstance(value, int) and 0 <= value < 1 << 32 for value in values.values())
    assert config_from_identity(values) == config
    assert parts_from_identity(values) == config.parts == tuple(name for name in ("minima", "decoder")
        if getattr(config, name))
    assert values["digest_low"] | values["digest_high"] << 32 == digest(config.parts)


def test_a_processing_element_of_a_newer_mixpe_is_unknown_and_not_refused():
    values = identity_values(Config(), clock_hz=50e6, mem_base=0, mem_bytes=1 << 25) | {"pe": len(PE_KINDS)}
    config = config_from_identity(values)
    assert config.pe == f"unknown-{len(PE_KINDS)}"
    assert identity_values(config, clock_hz=50e6, mem_base=0, mem_bytes=1 << 25)["pe"] == len(PE_KINDS)
    with pytest.raises(ConfigError, match="pe must be one of .*, not 'unknown-x'"):
        Config(pe="unknown-x")


def test_a_new_processing_element_needs_its_name_only(monkeypatch):
    monkeypatch.setattr(config_table, "PE_KINDS", (*PE_KINDS, "wavelet"))
    values = identity_values(Config(pe="wavelet"), clock_hz=50e6, mem_base=0, mem_bytes=1 << 25)
    assert values["pe"] == len(PE_KINDS) and config_from_identity(values).pe == "wavelet"


def test_parameters_are_those_of_the_configuration():
    assert [each.name for each in PARAMETERS] == [field.name for field in dataclasses.fields(Config)]
    assert all(each.must and each.brief and "{" not in each.must for each in PARAMETERS)
    features, = [register for register in registers.IDENTITY if register.name == "features"]
    assert [field.name for field in features.fields] == [each.name for each in PARAMETERS if each.is_flag]


def test_an_optional_part_is_a_flag_and_its_fields_are_named():
    features, = [register for register in registers.IDENTITY if register.name == "features"]
    for part in config_table.OPTIONAL_PARTS:
        assert features.field(part).part == part and features.field(part).is_flag
    fields = [field for word in (*registers.REGISTERS, *WORDS) for field in word.fields]
    assert {field.part for field in fields} == {"", *config_table.OPTIONAL_PARTS}
    assert [field.name for field in FLAGS.fields if field not in FLAGS.fields_of(())] == ["form"]
