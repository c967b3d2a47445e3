# SPDX-License-Identifier: BSD-2-Clause
"""What the linear layers of a model are given: for calibration, and for measurements on real activations."""

from mixpe.lm.linear import FloatLinear


def recorded(observe):
    """Float layers that show their inputs: what `LlamaModel` takes as `linear`.

    Parameters
    ----------
    observe : callable
        Called with a job's name and its input (m, k) float32, which it must leave as it is, before the layer computes.

    Returns
    -------
    callable
        (name, weight (n, k) float32) → layer, (m, k) float32 → (m, n) float32.
    """
    def make(name, weight):
        linear = FloatLinear(weight)

        def layer(x):
            observe(name, x)
            return linear(x)
        return layer
    return make
