# SPDX-License-Identifier: BSD-2-Clause
"""Where a board's program says how the training of its memory went.

Two registers of one word, in a CSR bank of their own beside the accelerator's. LiteX's BIOS writes them. They are no
part of the contract: a SoC whose memory needs no training has nothing there, which does not read as FAILED.
"""

from mixpe.gateware.spec.registers import CSR_BANK, CSR_PAGE_BYTES

TRAINING_BANK   = CSR_BANK + 3
TRAINING_OFFSET = (TRAINING_BANK - CSR_BANK)*CSR_PAGE_BYTES  # from the accelerator's registers
NAMES           = ("init_done", "init_error")                # of the registers, in their order
FAILED          = [1, 1]                                     # what they read when training or the memory test failed
