# SPDX-License-Identifier: BSD-2-Clause
"""Stop strings, wherever they fall between the pieces of a text."""

import itertools

import pytest

from mixpe.serve.sequence import Stops

TEXT = "one two three two four"


def cut(text, stops):
    """Text before the first of the stop strings."""
    return text[:min((at for at in map(text.find, stops) if at >= 0), default=len(text))]


@pytest.mark.parametrize("stops", [(), ("two",), ("e t",), ("four", "three"), ("missing",), ("one",),
    ("r two f", "two fx")])
@pytest.mark.parametrize("size", range(1, 9))
def test_pieces_add_up_to_the_text_before_the_first_stop(stops, size):
    stop, found = Stops(stops), ""
    for start in range(0, len(TEXT), size):
        found += stop.push(TEXT[start:start + size])
        assert cut(TEXT, stops).startswith(found)      # nothing that a stop takes back
    found += stop.finish()
    assert found == cut(TEXT, stops) and stop.found == (cut(TEXT, stops) != TEXT)


def test_every_way_to_cut_a_text_of_two_letters():
    for text in map("".join, itertools.product("ab", repeat=6)):
        for stops in (("ab",), ("aab",), ("ba", "bb"), ("abab",)):
            stop  = Stops(stops)
            found = "".join(stop.push(letter) for letter in text)
            assert found + stop.finish() == cut(text, stops)


def test_nothing_follows_a_stop():
    stop = Stops(("x",))
    assert stop.push("axb") == "a" and stop.push("c") == "" and stop.finish() == ""
