# SPDX-License-Identifier: BSD-2-Clause
"""A decoder layer as records.

    norm ─► qkv ─► bias, norms of q and k ─► angles ─► cache
                                                └────► attention ─► o ─► x
    norm ─► gate_up ─► SwiGLU ─► down ─► x

Several tokens pass as rows, but from the angles to attention, where each has a position of its own: there they follow
each other, first the new positions of the cache, then each one's queries. Rows are tokens of a text that follow each
other, or in a batch each the next token of a session of its own, whose records name it.
"""

from dataclasses import replace

import numpy as np

from mixpe.program.layout import aligned_heads
from mixpe.program.line import Line, Patch, vector
from mixpe.program.linear import linear
from mixpe.program.place import OWN
from mixpe_gateware.contract.decoder.attention import query_factor
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.program.records import (
    A_SCALED,
    B_ONE_ROW,
    B_SCALED,
    COLUMNS,
    HAS_B,
    MEASURE,
    ROWS_MAX,
    Function,
    Source,
)
from mixpe_gateware.contract.program.words import heads_word

ROWS_OF_RESULTS = A_SCALED | COLUMNS  # of several tokens


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
    rows : int
        Tokens of a pass; its position is the last one's.
    own : SessionLayout, optional
        Of each row's session, in a batch.
    """

    def __init__(self, architecture, config, matrices, wide, session, constants, rows=1, own=None):
        self.architecture, self.config, self.wide = architecture, config, wide
        self.matrices, self.session, self.constants, self.rows = matrices, session, constants, rows
        self.own     = own
        self.context = (own or session).context

    def _cache(self, layer):
        """Places of a layer's cache, in a batch those of a row's session."""
        if self.own is None:
            return self.session.cache(layer)
        return tuple(replace(place, section=OWN) for place in self.own.cache(layer))

    def _row(self, row):
        """The row that a record names."""
        return None if self.own is None else row

    def buffer(self, name, width):
        """Rows of a buffer."""
        return self.session[name].part(0, 4*self.rows*width)

    def norm(self, name, tensor, source, rows=None):
        """Norm of measured rows."""
        width, rows = self.architecture.hidden_size, rows or self.rows
        return vector(name, Function.NORM, a=source, b=self.constants[tensor],
            out=self.session["normed"].part(0, 4*rows*width), n=width, rows=rows, **self._mean(width))

    def linear(self, job, source, out="results", rows=None, whole=False):
        """A job's lines."""
        return linear(job, self.matrices[job], self.config, self.wide, source=self.session[source], whole=whole,
            codes=self.session["codes"], out=self.session[out], rows=rows or self.rows)

    def stream(self, index):
        """The residual stream, before attention or behind it."""
        return self.buffer(f"x.{index}", self.architecture.hidden_size)

    def keys(self, layer):
        """From the residual stream to new positions of the cache, and to where each token's queries are."""
        a, name = self.architecture, f"layers.{layer}"
        heads, c, d = a.num_attention_heads, a.num_key_value_heads, a.head_dim
        width = (heads + 2*c)*d
        lines = [self.norm(name, f"model.layers.{layer}.input_layernorm.weight", self.stream(0)),
            *self.linear(f"{name}.qkv", "normed")]
        found, scaled = self._biased(lines, f"{name}.qkv", width, always=a.qk_norm or self.rows > 1)
        keys, values, key_scales, value_scales = self._cache(layer)
        turned  = self.session["turned_keys"]
        queries = []
        for row in range(self.rows):
            here = found.part(4*row*width, 4*width)
            q, k, v = here.part(0, 4*heads*d), here.part(4*heads*d, 4*c*d), here.part(4*(heads + c)*d, 4*c*d)
            lines += self._turned(name, layer, k, turned, c, scaled, "k_norm", row)
            lines += self._append(name, c, v, values, value_scales, scaled, row)
            lines += self._append(name, c, turned, keys, key_scales, 0, row)
            queries.append(q)
        return lines, queries, scaled

    def rest(self, layer, queries, scaled):
        """Attention and all behind it, from the queries that `keys` left."""
        a, name, session = self.architecture, f"layers.{layer}", self.session
        heads, d, inner  = a.num_attention_heads, a.head_dim, a.intermediate_size
        lines = []
        for row, q in enumerate(queries):
            lines += self._turned(name, layer, q, session["turned"], heads, scaled, "q_norm", row)
            codes, exponents = self._queries(row)
            for first in range(0, heads, ROWS_MAX):
                some = min(ROWS_MAX, heads - first)
                lines.append(vector(name, Function.QUERY, a=session["turned"].part(4*first*d, 4*some*d), n=d, rows=some,
                    out=codes.part(2*first*d, 2*some*d), constant=float_word(query_factor(d)),
                    also=(("extra_addr", exponents.part(4*first, 4*some)),)))
            lines.append(self._attention(name, layer, codes, exponents, row))
        lines += self.linear(f"{name}.o", "mixed")
        lines += self._residual(f"{name}.o", self.stream(0), self.stream(1))
        lines.append(self.norm(name, f"model.layers.{layer}.post_attention_layernorm.weight", self.stream(1)))
        lines += self.linear(f"{name}.gate_up", "normed")
        lines += self._gated(f"{name}.gate_up", inner)
        lines += self.linear(f"{name}.down", "gated")
        return lines + self._residual(f"{name}.down", self.stream(1), self.stream(0))

    def _mean(self, width):
        return {"constant": float_word(1/width), "epsilon": float_word(self.architecture.rms_norm_eps)}

    @property
    def _results(self):
        """Options of a first operand that is a linear layer's results."""
        return ROWS_OF_RESULTS if self.rows > 1 else A_SCALED

    def _biased(self, lines, job, width, always=False, first=0):
        """Results of a job from a channel on with their bias, and options of an operand where they still lack their
        unit and are columns."""
        results = self.session["results"].part(4*self.rows*first, 4*self.rows*width)
        if f"{job}.bias" in self.constants.places:
            bias, option = self.constants[f"{job}.bias"].part(4*first, 4*width), HAS_B
            option |= B_ONE_ROW if self.rows > 1 else 0
        elif always:
            bias, option = None, 0
        else:
            return results, self._results
        biased = self.session["biased"].part(4*self.rows*first, 4*self.rows*width)
        lines.append(vector(job, Function.ADD, a=results, b=bias, out=biased, n=width, rows=self.rows,
            options=self._results | option))
        return biased, 0

    def _residual(self, job, before, after):
        """The residual stream with a job's results; measured, for the norm behind it."""
        lines = []
        found, scaled = self._biased(lines, job, self.architecture.hidden_size)
        lines.append(vector(job, Function.ADD, a=found, b=before, out=after, n=self.architecture.hidden_size,
            rows=self.rows, options=scaled | HAS_B | MEASURE))
        return lines

    def _gated(self, job, inner):
        """SwiGLU of a job's results, the gates first."""
        lines = []
        if self.rows == 1:
            found, scaled = self._biased(lines, job, 2*inner)
            gate, up = found.part(0, 4*inner), found.part(4*inner, 4*inner)
        else:
            (gate, scaled), (up, _) = (self._biased(lines, job, inner, first=first) for first in (0, inner))
        lines.append(vector(job.removesuffix(".gate_up"), Function.SILU, a=gate, b=up, n=inner, rows=self.rows,
            out=self.buffer("gated", inner), options=scaled | B_SCALED if scaled else 0))
        return lines

    def _behind(self, row):
        """How many tokens of the pass come behind one: so far its position is from the pass's."""
        return 0 if self.own else self.rows - 1 - row

    def _turned(self, name, layer, source, turned, heads, scaled, norm, row):
        """Heads of q or k by their own norm, where there is one, and turned by the position's angles."""
        d, session, lines = self.architecture.head_dim, self.session, []
        angles = self.constants["angles"].part(-4*d*self._behind(row), 4*d)
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
                out=turned.part(some.start, some.stop), patches=(Patch("b_addr", Source.POSITION, 4*d),),
                row=self._row(row)))
        return lines

    def _append(self, name, c, source, cache, scales, options, row):
        d, context, lines = self.architecture.head_dim, self.context, []
        behind = self._behind(row)
        for first in range(0, c, ROWS_MAX):
            rows  = min(ROWS_MAX, c - first)
            codes = cache.part(first*context*d)
            lines.append(vector(name, Function.APPEND, a=source.part(4*first*d, 4*rows*d), n=d, rows=rows,
                out=codes.part(-d*behind, codes.size), touches=codes, options=options, pitch=context*d,
                pitch_2=2*context, also=(("extra_addr", scales.part(2*(first*context - behind))),),
                patches=(Patch("out_addr", Source.POSITION, d), Patch("extra_addr", Source.POSITION, 2)),
                row=self._row(row)))
        return lines

    def _queries(self, row):
        """Codes and exponents of a token's queries: two Place."""
        heads, d = self.architecture.num_attention_heads, self.architecture.head_dim
        return (self.session["queries"].part(2*row*heads*d, 2*heads*d),
            self.session["exponents"].part(4*row*aligned_heads(heads), 4*heads))

    def _attention(self, name, layer, queries, exponents, row):
        a, session = self.architecture, self.session
        heads, c, d = a.num_attention_heads, a.num_key_value_heads, a.head_dim
        keys, values, key_scales, value_scales = self._cache(layer)
        mixed = session["mixed"].part(4*row*heads*d, 4*heads*d)
        return Line(name=name, opcode=Opcode.ATTENTION, writes=(mixed,),
            reads=(keys, values, key_scales, value_scales, queries, exponents),
            patches=(Patch("positions", Source.COUNT, 1),), row=self._row(row), operands={
                "keys_addr": keys, "a_addr": queries, "out_addr": mixed, "scales_addr": key_scales,
                "heads": heads_word(d, c, heads//c), "exponents_addr": exponents, "out_bytes": mixed.size,
                "window": a.window(layer) or 0, "values_addr": values, "context": self.context,
                "positions": -self._behind(row)})
