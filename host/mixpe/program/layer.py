# SPDX-License-Identifier: BSD-2-Clause
"""A decoder layer as records.

    norm ─► qkv ─► bias, norms of q and k ─► angles ─► cache
                                                └────► attention ─► o ─► x
    norm ─► gate_up ─► SwiGLU ─► down ─► x
"""

import numpy as np

from mixpe.program.line import Line, Patch, vector
from mixpe.program.linear import linear
from mixpe_gateware.contract.decoder.attention import query_factor
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.program.records import (
    A_SCALED,
    B_SCALED,
    HAS_B,
    MEASURE,
    ROWS_MAX,
    Function,
    Source,
)
from mixpe_gateware.contract.program.words import heads_word


def float_word(value):
    """Bits of a float32."""
    return int(np.float32(value).view(np.uint32))


class LayerLines:
    """Makes the lines of layers, one after the other.

    Parameters
    ----------
    architecture : Architecture
    config : Config
    matrices : dict of job → list of Matrix
    wide : bool
    session : SessionLayout
    constants : Constants
    """

    def __init__(self, architecture, config, matrices, wide, session, constants):
        self.architecture, self.config, self.wide = architecture, config, wide
        self.matrices, self.session, self.constants = matrices, session, constants

    def norm(self, name, tensor, source):
        """A measured row's norm."""
        width = self.architecture.hidden_size
        return vector(name, Function.NORM, a=source, b=self.constants[tensor],
            out=self.session["normed"].part(0, 4*width), n=width, **self._mean(width))

    def linear(self, job, source, out="results"):
        """A job's lines."""
        return linear(job, self.matrices[job], self.config, self.wide, source=self.session[source],
            codes=self.session["codes"], out=self.session[out])

    def keys(self, layer):
        """From the residual stream to the new position of the cache, and to where the queries are."""
        a, name = self.architecture, f"layers.{layer}"
        heads, c, d = a.num_attention_heads, a.num_key_value_heads, a.head_dim
        lines = [self.norm(name, f"model.layers.{layer}.input_layernorm.weight", self.session["x.0"]),
            *self.linear(f"{name}.qkv", "normed")]
        found, scaled = self._biased(lines, f"{name}.qkv", (heads + 2*c)*d, always=a.qk_norm)
        q, k, v = found.part(0, 4*heads*d), found.part(4*heads*d, 4*c*d), found.part(4*(heads + c)*d, 4*c*d)
        keys, values, key_scales, value_scales = self.session.cache(layer)
        turned = self.session["turned_keys"]
        lines += self._turned(name, layer, k, turned, c, scaled, "k_norm")
        lines += self._append(name, c, v, values, value_scales, scaled)
        lines += self._append(name, c, turned, keys, key_scales, 0)
        return lines, q, scaled

    def rest(self, layer, q, scaled):
        """Attention and all behind it, from the queries that `keys` left."""
        a, name, session = self.architecture, f"layers.{layer}", self.session
        heads, d, inner  = a.num_attention_heads, a.head_dim, a.intermediate_size
        lines = self._turned(name, layer, q, session["turned"], heads, scaled, "q_norm")
        for first in range(0, heads, ROWS_MAX):
            rows = min(ROWS_MAX, heads - first)
            lines.append(vector(name, Function.QUERY, a=session["turned"].part(4*first*d, 4*rows*d), n=d, rows=rows,
                out=session["queries"].part(2*first*d, 2*rows*d), constant=float_word(query_factor(d)),
                also=(("extra_addr", session["exponents"].part(4*first, 4*rows)),)))
        lines.append(self._attention(name, layer))
        lines += self.linear(f"{name}.o", "mixed")
        lines += self._residual(f"{name}.o", session["x.0"], session["x.1"])
        lines.append(self.norm(name, f"model.layers.{layer}.post_attention_layernorm.weight", session["x.1"]))
        lines += self.linear(f"{name}.gate_up", "normed")
        found, scaled = self._biased(lines, f"{name}.gate_up", 2*inner)
        lines.append(vector(name, Function.SILU, a=found.part(0, 4*inner), b=found.part(4*inner, 4*inner), n=inner,
            out=session["gated"].part(0, 4*inner), options=A_SCALED | B_SCALED if scaled else 0))
        lines += self.linear(f"{name}.down", "gated")
        return lines + self._residual(f"{name}.down", session["x.1"], session["x.0"])

    def _mean(self, width):
        return {"constant": float_word(1/width), "epsilon": float_word(self.architecture.rms_norm_eps)}

    def _biased(self, lines, job, width, always=False):
        """Results of a job with its bias, and A_SCALED where they still lack their unit."""
        results = self.session["results"].part(0, 4*width)
        if f"{job}.bias" in self.constants.places:
            bias, option = self.constants[f"{job}.bias"], HAS_B
        elif always:
            bias, option = None, 0
        else:
            return results, A_SCALED
        biased = self.session["biased"].part(0, 4*width)
        lines.append(vector(job, Function.ADD, a=results, b=bias, out=biased, n=width, options=A_SCALED | option))
        return biased, 0

    def _residual(self, job, before, after):
        """The residual stream with a job's results; measured, for the norm behind it."""
        lines = []
        found, scaled = self._biased(lines, job, self.architecture.hidden_size)
        lines.append(vector(job, Function.ADD, a=found, b=before, out=after, n=self.architecture.hidden_size,
            options=scaled | HAS_B | MEASURE))
        return lines

    def _turned(self, name, layer, source, turned, heads, scaled, norm):
        """Heads of q or k by their own norm, where there is one, and turned by the position's angles."""
        d, session, lines = self.architecture.head_dim, self.session, []
        angles  = self.constants["angles"]
        for first in range(0, heads, ROWS_MAX):
            rows = min(ROWS_MAX, heads - first)
            some = slice(4*first*d, 4*rows*d)
            part = source.part(some.start, some.stop)
            if self.architecture.qk_norm:
                measured, even = (session[each].part(some.start, some.stop) for each in ("heads", "even"))
                lines.append(vector(name, Function.ADD, a=part, out=measured, n=d, rows=rows, options=MEASURE))
                lines.append(vector(name, Function.NORM, a=measured, out=even, n=d, rows=rows, **self._mean(d),
                    b=self.constants[f"model.layers.{layer}.self_attn.{norm}.weight"]))
                part = even
            lines.append(vector(name, Function.ROTATE, a=part, b=angles, n=d, rows=rows, options=scaled,
                out=turned.part(some.start, some.stop), patches=(Patch("b_addr", Source.POSITION, 4*d),)))
        return lines

    def _append(self, name, c, source, cache, scales, options):
        d, context, lines = self.architecture.head_dim, self.session.context, []
        for first in range(0, c, ROWS_MAX):
            rows = min(ROWS_MAX, c - first)
            lines.append(vector(name, Function.APPEND, a=source.part(4*first*d, 4*rows*d), n=d, rows=rows,
                out=cache.part(first*context*d), options=options, pitch=context*d, pitch_2=2*context,
                also=(("extra_addr", scales.part(2*first*context)),),
                patches=(Patch("out_addr", Source.POSITION, d), Patch("extra_addr", Source.POSITION, 2))))
        return lines

    def _attention(self, name, layer):
        a, session = self.architecture, self.session
        heads, c, d = a.num_attention_heads, a.num_key_value_heads, a.head_dim
        keys, values, key_scales, value_scales = session.cache(layer)
        queries, exponents, mixed = session["queries"], session["exponents"], session["mixed"].part(0, 4*heads*d)
        return Line(name=name, opcode=Opcode.ATTENTION, writes=(mixed,),
            reads=(keys, values, key_scales, value_scales, queries, exponents),
            patches=(Patch("positions", Source.COUNT, 1),), operands={
                "keys_addr": keys, "a_addr": queries, "out_addr": mixed, "scales_addr": key_scales,
                "heads": heads_word(d, c, heads//c), "exponents_addr": exponents, "out_bytes": mixed.size,
                "window": a.window(layer) or 0, "values_addr": values, "context": session.context})
