# SPDX-License-Identifier: BSD-2-Clause
"""Wait for a device's memory, which a board may have to train or the host to initialise."""

from mixpe.devices.sdram import init_method, initialise_sdr
from mixpe.errors import DeviceError
from mixpe_gateware.contract.registers import STATUS_READY


def wait_for_memory(bank, url, limit_s):
    """Wait until the memory is ready, and initialise it where that is the host's part.

    Parameters
    ----------
    bank : RegisterBank
    url : str
        For messages.
    limit_s : float

    Raises
    ------
    DeviceError
        It is not ready within the limit; the message says what to do.
    """
    if not bank.read("status") & STATUS_READY:
        method = init_method(bank)
        if method is not None:
            initialise_sdr(bank, method)
    try:
        bank.wait(STATUS_READY, STATUS_READY, limit_s, f"the memory of the device at {url} was not ready")
    except DeviceError as error:
        why = ("its training failed: power the board off and on, and if it fails again build with a lower "
            "--clock-mhz" if bank.memory_failed() else
            "its initialisation has not ended, or hangs: wait longer with mixpe.open(…, ready_s=60), or power the "
            "board off and on and load the bitstream again")
        raise DeviceError(f"{error}; {why}") from None
