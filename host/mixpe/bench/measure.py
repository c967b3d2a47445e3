# SPDX-License-Identifier: BSD-2-Clause
"""Run benchmark cases on a device as single jobs and compare every result with the reference."""

import time
from dataclasses import dataclass, replace

import numpy as np

from mixpe.devices.driver import driver_of
from mixpe.errors import DeviceError, VerifyError
from mixpe.plan.cut import rows_per_job
from mixpe.reference.execute import Executor
from mixpe_gateware.contract.jobs import Job, JobCode, check_job, group_code, in_inbox
from mixpe_gateware.contract.layout import pack_nibbles, pack_stream, section_entries
from mixpe_gateware.contract.registers import CSR_BANK, CSR_PAGE_BYTES, PROBE_BANK
from mixpe_gateware.contract.scaling import Form, Scaling, superblocks
from mixpe_gateware.contract.timing import memory_timing, predict

PROBE_LIMIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One job. Rates are beats of the memory port a cycle; `ceiling_cycles` is the bytes at the bare reader's rate."""

    case: object
    m: int
    cycles: int
    predicted_cycles: float
    bound: str
    stream_bytes: int
    beats_in: int
    beats_out: int
    busy: int
    wait_weights: int
    wait_results: int
    read_rate: float
    ceiling_cycles: float

    @property
    def stream_rate(self):
        """Beats of weights, scales and zeros a cycle over the whole job."""
        return self.beats_in/self.cycles

    @property
    def busy_share(self):
        return self.busy/self.cycles

    @property
    def over_ceiling(self):
        """Cycles over those that the payload bytes take at the bare reader's rate."""
        return self.cycles/self.ceiling_cycles

    @property
    def prediction_error(self):
        return self.predicted_cycles/self.cycles - 1


def bare_read_rate(device, beats=1 << 16):
    """Beats a cycle of a bare LiteDRAM DMA reader on sequential addresses, in the same SoC.

    Raises
    ------
    DeviceError
        The SoC was built without the probe, or it does not end.
    """
    driver = driver_of(device)
    base = driver.bank.base + (PROBE_BANK - CSR_BANK)*CSR_PAGE_BYTES
    driver.link.write_words(base, [beats])
    start = time.monotonic()
    while True:
        _, running, cycles = (int(word) for word in driver.link.read_words(base, 3))
        if not running and cycles:
            return beats/cycles
        if time.monotonic() - start > PROBE_LIMIT_S:
            raise DeviceError(f"no answer of the bare reader at {base:#x}: simulated devices have one, unless "
                "opened with probe=0")
        time.sleep(0.01)


def job_rows(case, config, tiles=4):
    """Rows of a case: one token, or so many tiles as far as the on-chip buffers go."""
    if case.phase == "decode":
        return 2 if case.activations == "a16" else 1
    return min(tiles*config.rows, rows_per_job(case.layer.k, 1, config))


def random_scaling(rng, n, groups, form):
    """Scales and what stands beside them, as large as a model's."""
    shape = n, superblocks(groups) if form == Form.TWO_LEVEL else groups
    scales = rng.uniform(1e-3, 2e-2, shape).astype(np.float16)
    if form == Form.ZERO:
        return Scaling(scales, zeros=rng.integers(0, 16, shape, dtype=np.uint8))
    minima  = rng.uniform(-2e-1, 1e-1, shape).astype(np.float16)
    factors = rng.integers(0, 64, (n, groups, 2), dtype=np.uint8) if form == Form.TWO_LEVEL else None
    return Scaling(scales, minima=minima, factors=factors)


def measure(device, case, *, group_size, read_rate, form=Form.ZERO, tiles=4, seed=0):
    """Run one case.

    Parameters
    ----------
    device : Device
        A simulated one.
    case : Case
    group_size : int
    read_rate : float
        Of `bare_read_rate`.
    form : Form
        What stands beside the scales.
    tiles : int
        Row tiles of a prefill.
    seed : int

    Returns
    -------
    Measurement

    Raises
    ------
    VerifyError
        A byte of the results is not the reference's.
    """
    driver = driver_of(device)
    config, layer = device.config, case.layer
    rng = np.random.default_rng(seed)
    n, k, m = layer.n_run, layer.k, job_rows(case, config, tiles)
    groups  = k//group_size
    packed  = pack_nibbles(rng.integers(0, 16, (n, k), dtype=np.uint8))
    stream  = pack_stream(packed, random_scaling(rng, n, groups, form), config)
    act     = rng.integers(-128, 128, (m, k), dtype=np.int8).view(np.uint8).reshape(-1)
    shape   = {"n": n, "k": k, "m": m, "group": group_code(group_size, k), "fused": case.fused,
        "wide": case.activations == "a16", "form": form}
    size    = Job(weights_addr=0, act_addr=0, out_addr=0, out_bytes=0, **shape).result_bytes(config)
    regions = [driver.memory.allocate(part) for part in (stream.size, size)]
    place   = driver.act_space.allocate(act.size)
    try:
        job = Job(weights_addr=regions[0], act_addr=place, out_addr=regions[1], out_bytes=size, **shape)
        driver.write_memory(regions[0], stream)
        driver.write_memory(place, act)
        before = device.counters()
        done = driver.run_job(job)
        if done.code != JobCode.OK:
            raise DeviceError(f"the job ended with {done.code.name}")
        after = device.counters()
        _compare(device, job, stream, act)
    finally:
        for region in regions:
            driver.memory.free(region)
        driver.act_space.free(place)
    spent = {name: after[name] - before[name] for name in after}
    payload = n*sum(section.bits*entries for section, entries in section_entries(k, groups, form).items())/8
    prediction = predict(job, config, memory_timing(config), inbox=in_inbox(job, driver.mem_bytes))
    return Measurement(case=case, m=m, cycles=done.cycles, predicted_cycles=prediction.total, bound=prediction.bound,
        stream_bytes=stream.size, beats_in=spent["beats_in"], beats_out=spent["beats_out"], busy=spent["busy"],
        wait_weights=spent["wait_weights"], wait_results=spent["wait_results"], read_rate=read_rate,
        ceiling_cycles=payload/config.beat_bytes/read_rate)


def _compare(device, job, stream, act):
    """Results in the device's memory against the reference's, bit for bit."""
    config = replace(device.config, inbox_bytes=0)  # of an image that has all of it in memory
    places = [("weights_addr", stream), ("act_addr", act)]
    memory, moved, offset = [], {}, 0
    for name, data in places:
        moved[name] = offset
        memory.append(data)
        offset += data.size
    moved["out_addr"] = offset
    image = np.concatenate([*memory, np.zeros(job.out_bytes, np.uint8)])
    twin = Job(**{**job.__dict__, **moved})
    code = check_job(twin, config, image.size)
    if code != JobCode.OK:
        raise DeviceError(f"the reference refuses the job: {code.name}")
    Executor(config, image).run(twin)
    got = driver_of(device).read_memory(job.out_addr, job.out_bytes)
    wrong = np.flatnonzero(got != image[offset:])
    if wrong.size:
        raise VerifyError(f"{wrong.size} of {got.size} result bytes differ from the reference, the first at {wrong[0]}")
