# SPDX-License-Identifier: BSD-2-Clause
"""Every answer of `check_job`, at the edge: one step inside is accepted, one step outside refused."""

from dataclasses import replace

import pytest

from mixpe_gateware.contract.config import K_LIMIT, N_LIMIT, Config
from mixpe_gateware.contract.descriptor import GROUP_CODE_K, INDEX
from mixpe_gateware.contract.jobs import Job, JobCode, check_job, group_code
from mixpe_gateware.contract.scaling import Form

CONFIG = Config(rows=4, port_bits=128, k_max=2048, buffer_beats=64, scalers=1)
MEMORY = 1 << 20


def sized(job, config=CONFIG):
    return replace(job, out_bytes=job.result_bytes(config))


GOOD = sized(Job(weights_addr=0, act_addr=512 << 10, out_addr=768 << 10, n=16, k=512, m=4, group=2, out_bytes=0))


def refused(config=CONFIG, memory=MEMORY, job=GOOD, **changes):
    changed = replace(job, **changes)
    return check_job(changed if "out_bytes" in changes else sized(changed, config), config, memory)


def test_good_job():
    assert check_job(GOOD, CONFIG, MEMORY) == JobCode.OK


@pytest.mark.parametrize("changes, code", [
    # Shapes.
    ({"n": 0}, JobCode.SHAPE), ({"k": 0}, JobCode.SHAPE), ({"m": 0}, JobCode.SHAPE),
    ({"n": N_LIMIT + 1}, JobCode.SHAPE), ({"k": 4096}, JobCode.SHAPE), ({"m": 2049}, JobCode.SHAPE),
    ({"k": 512 + 64}, JobCode.SHAPE),                                      # no multiple of G = 128
    ({"k": 512 + 16, "group": GROUP_CODE_K}, JobCode.SHAPE),               # no multiple of the lanes
    ({"fused": True, "wide": True, "m": 3}, JobCode.SHAPE),                # half a token
    # Groups.
    ({"group": 4, "out_bytes": 1024}, JobCode.GROUP), ({"group": 6, "out_bytes": 1024}, JobCode.GROUP),
    ({"k": 2048, "group": 0, "planes": True}, JobCode.GROUP),              # 128 groups, 64 fit
    ({"k": 2048, "group": 1, "planes": True, "m": 1}, JobCode.OK),         # 64
    # Rows: tiles·k <= k_max, and a channel that is replayed fits the weight buffer.
    ({"m": 16}, JobCode.OK), ({"m": 32}, JobCode.OK), ({"m": 33}, JobCode.ROWS),
    ({"k": 2048, "m": 8}, JobCode.OK), ({"k": 2048, "m": 9}, JobCode.ROWS),
    # Flags.
    ({"wide": True}, JobCode.UNSUPPORTED), ({"shift": True}, JobCode.UNSUPPORTED),
    ({"wide": True, "fused": True}, JobCode.OK), ({"shift": True, "fused": True}, JobCode.OK),
    # Addresses.
    ({"weights_addr": 8}, JobCode.ALIGN), ({"act_addr": (512 << 10) + 1}, JobCode.ALIGN),
    ({"out_addr": (768 << 10) + 15}, JobCode.ALIGN), ({"weights_addr": 16}, JobCode.OK),
    ({"act_addr": MEMORY - 2048}, JobCode.OK), ({"act_addr": MEMORY - 2032}, JobCode.MEMORY),
    ({"weights_addr": MEMORY - GOOD.weight_bytes(CONFIG)}, JobCode.OK),
    ({"weights_addr": MEMORY - GOOD.weight_bytes(CONFIG) + 16}, JobCode.MEMORY),
    ({"out_addr": MEMORY}, JobCode.MEMORY), ({"out_addr": 0xFFFFFFF0}, JobCode.MEMORY),
    ({"weights_addr": 0xFFFFFFF0}, JobCode.MEMORY),
    ({"out_addr": 0}, JobCode.OVERLAP), ({"out_addr": (512 << 10) + 2032}, JobCode.OVERLAP),
    ({"out_addr": (512 << 10) + 2048}, JobCode.OK),
    ({"out_addr": GOOD.weight_bytes(CONFIG) - 16}, JobCode.OVERLAP),
    ({"out_addr": GOOD.weight_bytes(CONFIG)}, JobCode.OK),
    # Another engine's job.
    ({"opcode": 0}, JobCode.UNSUPPORTED), ({"opcode": 2, "n": 0}, JobCode.UNSUPPORTED), ({"fence": True}, JobCode.OK),
    # Result buffer.
    ({"out_bytes": GOOD.out_bytes - 1}, JobCode.SPACE), ({"out_bytes": GOOD.out_bytes + 1}, JobCode.OK),
])
def test_code(changes, code):
    assert refused(**changes) == code


def test_replay_needs_the_weight_buffer():
    narrow = Config(rows=4, port_bits=16, k_max=2048, buffer_beats=64, scalers=1)
    job = replace(GOOD, k=256, m=4, group=0)
    assert refused(narrow, job=job) == JobCode.OK
    assert refused(narrow, job=job, m=5) == JobCode.OK              # 256/4 = 64 beats
    assert refused(narrow, job=job, k=512, m=5) == JobCode.ROWS     # 128 beats
    assert refused(narrow, job=job, k=256, m=5, planes=True) == JobCode.ROWS


def test_partials_only_build_refuses_fused():
    plain = Config(rows=4, port_bits=128, k_max=2048, buffer_beats=64, scalers=1, fused=False)
    assert refused(plain, fused=True) == JobCode.UNSUPPORTED
    assert refused(plain) == JobCode.OK


def test_one_row_cannot_hold_a_token_of_a16():
    single = Config(rows=1, port_bits=128, k_max=2048, buffer_beats=64, scalers=1)
    assert refused(single, fused=True, wide=True, m=2) == JobCode.SHAPE


@pytest.mark.parametrize("changes, code", [
    ({"form": Form.MINIMUM}, JobCode.OK), ({"form": Form.MINIMUM, "group": GROUP_CODE_K}, JobCode.OK),
    ({"form": Form.TWO_LEVEL, "group": 0}, JobCode.OK), ({"form": Form.TWO_LEVEL, "group": 1}, JobCode.GROUP),
    ({"form": Form.TWO_LEVEL, "group": GROUP_CODE_K, "k": 32}, JobCode.GROUP),
    ({"form": Form.TWO_LEVEL, "group": 0, "k": 512 + 128}, JobCode.SHAPE),   # half a superblock
    ({"form": Form.TWO_LEVEL, "group": 0, "k": 512 + 256}, JobCode.OK),
    ({"form": Form.TWO_LEVEL, "group": 0, "planes": True, "fused": True}, JobCode.OK),
    ({"form": 3, "n": 0, "out_bytes": 0}, JobCode.UNSUPPORTED),
])
def test_forms(changes, code):
    assert refused(replace(CONFIG, minima=True), **changes) == code
    assert refused(CONFIG, **changes) == JobCode.UNSUPPORTED


def test_a_form_makes_its_stream_longer():
    job = replace(GOOD, group=0)
    assert [replace(job, form=form).weight_bytes(CONFIG) for form in Form] == [
        2*(8*16*2 + 8*16//2 + 8*256), 2*(8*16*4 + 8*256), 2*(8*2*4 + 8*16*2 + 8*256)]


def test_every_code_of_the_checks_is_reached_above():
    reached = {mark for _, mark in test_code.pytestmark[0].args[1]}
    assert reached == {code for code in JobCode if not code.part} - {JobCode.ABORTED, JobCode.WATCHDOG}
    assert all(code.text for code in JobCode)


@pytest.mark.parametrize("group_size, k, code", [
    (32, 64, 0), (64, 64, 1), (128, 256, 2), (256, 256, 3), (512, 512, GROUP_CODE_K), (96, 96, GROUP_CODE_K),
    (96, 192, None), (K_LIMIT, K_LIMIT, GROUP_CODE_K),
])
def test_group_code(group_size, k, code):
    assert group_code(group_size, k) == code


def test_words_carry_everything():
    job = Job(weights_addr=1, act_addr=2, out_addr=3, n=4, k=5, m=6, group=7, out_bytes=8, fused=True, wide=True,
        shift=True, planes=True, form=Form.TWO_LEVEL, tag=9, fence=True)
    words = [job.words()[INDEX[name]] for name in
        ("op", "weights_addr", "act_addr", "out_addr", "n", "k", "m", "flags", "out_bytes", "tag")]
    assert words == [0x101, 1, 2, 3, 4, 5, 6, 0x17F, 8, 9]


@pytest.mark.parametrize("fused, wide, planes, words", [
    (False, False, False, 16*4*4), (False, False, True, 16*4*8), (True, False, False, 16*4), (True, False, True, 16*4),
    (True, True, False, 16*2),
])
def test_result_bytes(fused, wide, planes, words):
    assert replace(GOOD, fused=fused, wide=wide, planes=planes).result_bytes(CONFIG) == 4*words


def test_results_are_padded_to_a_beat():
    assert replace(GOOD, n=1, m=1, fused=True).result_bytes(CONFIG) == 16


def test_shift_table_follows_the_activations():
    assert replace(GOOD, fused=True, shift=True).act_bytes(CONFIG) == 4*512 + 4*16
