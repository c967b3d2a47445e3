# SPDX-License-Identifier: BSD-2-Clause
"""Calibrated 4-bit quantisation of one matrix: GPTQ with asymmetric groups.

Round to nearest minimises the error of the weights; GPTQ minimises that of the layer's output on calibration inputs
X, tr(ΔW·H·ΔWᵀ) with H = XᵀX. Columns are quantised one after the other, and the error of each is made up for by those
that are still to come, along the rows of the Cholesky factor of H⁻¹. A group's scale and zero point are chosen when
its first column is reached, from the weights as corrected so far; a small search shrinks its range where the weighted
error falls.

Source: E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
arXiv 2210.17323, algorithm 1 (lazy batches are the groups here); the range search is as in its released code.
"""

import numpy as np

from mixpe.quant.checks import group_span
from mixpe.quant.matrix import Int4Matrix
from mixpe_gateware.contract.errors import DtypeError, RangeError, ShapeError

SHRINKS = np.linspace(1.0, 0.7, 13, dtype=np.float32)  # tried ranges, as shares of a group's whole range
SMALLEST_SCALE = np.float16(2.0**-24)


def _grid(low, high):
    """FP16 scales, zero points and divisors of channels with the ranges low … high: (n,) each."""
    with np.errstate(over="ignore"):
        scales = ((high - low) / np.float32(15)).astype(np.float16)
    if not np.isfinite(scales).all():
        largest = float(np.maximum(-low, high).max())
        raise RangeError(f"a group with weights up to {largest:g} needs a scale over 65504; divide the weights first")
    scales = np.where((scales == 0) & (high > low), SMALLEST_SCALE, scales)
    divisor = np.where(scales == 0, np.float32(1), scales.astype(np.float32))
    zeros = np.clip(np.rint(-low / divisor), 0, 15).astype(np.float32)
    return scales, zeros, divisor


def _codes(block, zeros, divisor):
    """Nearest codes 0 … 15 of (n, columns) weights, float32."""
    return np.clip(np.rint(block / divisor[:, None]) + zeros[:, None], 0, 15)


def _choose(block, importance):
    """Scales, zero points and divisors of one group, (n,) each; `importance` (G,) weighs the columns."""
    low, high = np.minimum(block.min(axis=1), 0), np.maximum(block.max(axis=1), 0)
    best = None
    for shrink in SHRINKS:
        scales, zeros, divisor = _grid(low * shrink, high * shrink)
        values = (_codes(block, zeros, divisor) - zeros[:, None]) * scales.astype(np.float32)[:, None]
        error = (values - block)**2 @ importance
        if best is None:
            best, least = [scales, zeros, divisor], error
        else:
            better = error < least
            least = np.where(better, error, least)
            best = [np.where(better, new, old) for new, old in zip((scales, zeros, divisor), best, strict=True)]
    return best


def quantize(w, hessian, group_size=128, damping=0.01):
    """Quantise a weight matrix for the inputs that a Hessian describes.

    Parameters
    ----------
    w : (n, k) float16, float32 or float64, finite
    hessian : (k, k) floating
        XᵀX of calibration inputs X (tokens, k), any factor.
    group_size : int or None
        As in `mixpe.quantize`.
    damping : float
        Share of the mean diagonal that is added to it.

    Returns
    -------
    Int4Matrix

    Raises
    ------
    DtypeError, ShapeError, RangeError
        As `mixpe.quantize`; or the Hessian's shape, values that are not finite, or damping that is not positive.
    """
    if not isinstance(w, np.ndarray) or w.dtype.kind != "f":
        raise DtypeError(f"w must be an array of floats, not {getattr(w, 'dtype', type(w).__name__)}")
    if w.ndim != 2 or not w.size:
        raise ShapeError(f"w must have two axes (n, k), neither empty, not the shape {w.shape}")
    n, k = w.shape
    if np.shape(hessian) != (k, k):
        raise ShapeError(f"the Hessian must be ({k}, {k}) for these weights, not {np.shape(hessian)}")
    if not (np.isfinite(w).all() and np.isfinite(hessian).all()):
        raise RangeError("weights and Hessian must be finite, found Inf or NaN")
    if not damping > 0:
        raise RangeError(f"damping must be positive, not {damping!r}")
    span = group_span(group_size, k)

    h = np.array(hessian, np.float64)
    dead = np.diag(h) <= 0                  # inputs that were always 0: their weights do not matter
    h[dead, dead] = 1.0
    h[np.diag_indices(k)] += damping * np.diag(h).mean()
    # Rows of the upper Cholesky factor of H⁻¹: what column j's error does to the later ones.
    upper = np.linalg.cholesky(np.linalg.inv(h)).T.astype(np.float32)
    importance = np.diag(h).astype(np.float32)

    rest = np.array(w, np.float32)
    rest[:, dead] = 0
    q = np.empty((n, k), np.uint8)
    groups = -(-k // span)
    scales, zeros = np.empty((n, groups), np.float16), np.empty((n, groups), np.uint8)
    for g in range(groups):
        begin, end = g * span, min(k, (g + 1) * span)
        block = rest[:, begin:end]
        scale, zero, divisor = _choose(block, importance[begin:end])
        scales[:, g], zeros[:, g] = scale, zero
        errors = np.empty_like(block)
        for j in range(end - begin):
            code = _codes(block[:, j:j + 1], zero, divisor)[:, 0]
            q[:, begin + j] = code
            value = (code - zero) * scale.astype(np.float32)
            errors[:, j] = (block[:, j] - value) / upper[begin + j, begin + j]
            block[:, j + 1:] -= errors[:, j:j + 1] * upper[begin + j, begin + j + 1:end]
        rest[:, end:] -= errors @ upper[begin:end, end:]
    return Int4Matrix.from_parts(q, scales, zeros, k if group_size is None else group_size)
