# SPDX-License-Identifier: BSD-2-Clause
"""A layer cut into jobs, without a device.

    cut      the rules: k in slabs, rows and channels of one job
    kinds    formats of activations: rows of a token, alignment shifts
    layer    `LayerPlan`: the slabs of a layer and what they take in memory
    call     `CallPlan`: one call of it as steps, each a job whose buffers have names and no addresses yet
"""
