# SPDX-License-Identifier: BSD-2-Clause
"""What a layer may be called with, and how things of the API present themselves."""

import subprocess
import sys

import numpy as np
import pytest

import mixpe
from mixpe.errors import DtypeError, RangeError, ShapeError

N, K = 24, 64


@pytest.fixture(scope="module")
def layer():
    with mixpe.open("reference") as device:
        yield device.load(mixpe.quantize(np.random.default_rng(3).standard_normal((N, K)), group_size=32))


@pytest.fixture
def x():
    return np.random.default_rng(4).standard_normal((6, K)).astype(np.float32)


@pytest.mark.parametrize("given", [
    lambda x: x.astype(np.float64), lambda x: x.tolist(), lambda x: tuple(map(tuple, x.tolist())),
    lambda x: x.astype(">f4"), lambda x: x.astype(">f8"), np.asfortranarray, lambda x: x[::-1][::-1],
])
def test_the_same_numbers_give_the_same_results(given, layer, x):
    np.testing.assert_array_equal(layer(given(x)), layer(x))


def test_axes_in_front_stay(layer, x):
    y = layer(x)
    np.testing.assert_array_equal(layer(x.reshape(2, 3, K)), y.reshape(2, 3, N))
    np.testing.assert_array_equal(layer(x[0]), y[0])
    assert layer(x[0]).shape == (N,)
    assert layer(x[0].tolist()).shape == (N,)


def test_layers_share_an_input_of_any_kind(layer, x):
    first, second = layer.driver.run([(layer, x.tolist()), (layer, x[None])])
    np.testing.assert_array_equal(first, layer(x))
    np.testing.assert_array_equal(second[0], layer(x))


@pytest.mark.parametrize("given", [lambda layer, x: [layer], lambda layer, x: [(layer, x, x)],
    lambda layer, x: [(1, x)], lambda layer, x: [(layer, x), x]])
def test_what_run_takes(given, layer, x):
    with mixpe.open("reference") as device, pytest.raises(DtypeError, match=r"pairs of a layer and its activations"):
        device.run(given(layer, x))


@pytest.mark.parametrize("given", [lambda w: w.astype(np.float64), lambda w: w.tolist(), lambda w: w.astype(">f4"),
    lambda w: w.astype(">f8"), np.asfortranarray])
def test_weights_and_activations_may_be_what_a_layer_takes(given, x):
    """The same numbers give the same codes."""
    for function in (lambda w: mixpe.quantize(w, group_size=32), mixpe.quantize_activations):
        found, wanted = function(given(x)), function(x)
        if isinstance(wanted, tuple):
            for one, other in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_array_equal(found.dequantize(), wanted.dequantize())


@pytest.mark.parametrize("given, error, words", [
    (np.zeros((2, 64), np.int8), DtypeError, "not int8; convert with"), ([["a"]*64], DtypeError, "must hold numbers"),
    ([[1.0]*64, [1.0]], ShapeError, "same length"), ([1.0]*64, ShapeError, "two axes"),
    (None, DtypeError, "not NoneType"),
])
def test_weights_that_are_refused(given, error, words):
    for function in (mixpe.quantize, mixpe.quantize_activations):
        with pytest.raises(error, match=words):
            function(given)


def test_integers_in_lists_are_numbers(layer):
    np.testing.assert_array_equal(layer([[1]*K]), layer(np.ones((1, K), np.float32)))


@pytest.mark.parametrize(("given", "error", "words"), [
    (np.zeros((2, K), np.int8), DtypeError, "not int8; convert with x.astype"),
    (np.zeros((2, K), np.complex64), DtypeError, "not complex64"),
    ([["a"]*K], DtypeError, "must hold numbers"),
    ([[1.0]*K, [1.0]], ShapeError, "same length"),
    (None, DtypeError, "not NoneType"),
    (np.zeros((2, K - 1), np.float32), ShapeError, rf"\({K},\), \(m, {K}\) or \(…, {K}\), not \(2, {K - 1}\)"),
    (np.float32(1), DtypeError, "not float32"),
    (np.zeros((), np.float32), ShapeError, r"not \(\)"),
    (np.full((1, K), 1e300), RangeError, "finite"),
    (np.full((1, K), np.nan), RangeError, "finite"),
])
def test_what_is_refused(given, error, words, layer):
    with pytest.raises(error, match=words):
        layer(given)


def test_things_say_what_they_are(layer):
    assert repr(layer) == f"DeviceLinear({N} x {K}, W4A8, {layer.weight_bytes} bytes on reference)"
    with mixpe.open("reference") as device:
        assert repr(device) == "Device('reference', 8x32)"
    assert repr(device) == "Device('reference', 8x32, closed)"
    with mixpe.LlamaModel.from_pretrained(device="reference") as model:
        assert repr(model) == "LlamaModel(llama, 3 layers, hidden 256, vocabulary 256, on reference)"
        text = model.generate("def ", 2)
        assert repr(text) == "Generation(0 of at most 2 tokens, not begun)"
        next(text)
        assert repr(text) == "Generation(1 of at most 2 tokens, running)"
        next(text)
        assert repr(text) == "Generation(2 of at most 2 tokens, ended)"


def test_the_version_is_the_packages():
    from importlib.metadata import version
    assert mixpe.__version__ == version("mixpe")


def test_torch_is_reachable_and_not_loaded():
    code = ("import sys, pydoc, mixpe; pydoc.render_doc(mixpe); assert 'torch' not in sys.modules\n"
            "assert [mixpe.__dict__.get(n, mixpe.__version__) for n in dir(mixpe)] and 'torch' not in dir(mixpe)\n"
            "try: mixpe.torch\nexcept AttributeError as error: print(error)\nelse: print(mixpe.torch.offload.__name__)")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert found.stdout.strip() in ("mixpe.torch needs torch; get it with: pip install 'mixpe[torch]'", "offload")


def test_its_names_are_what_a_user_calls():
    assert dir(mixpe) == sorted([*mixpe.__all__, "__version__", *(["torch"] if "mixpe.torch" in sys.modules else [])])
    with mixpe.open("reference") as device:
        assert [name for name in dir(device) if not name.startswith("_")] == ["check", "clock_hz", "close", "config",
            "counters", "info", "link_bytes", "load", "recover", "reset_counters", "run", "url"]


def test_other_names_are_missing_as_usual():
    with pytest.raises(AttributeError, match="no attribute 'torches'"):
        print(mixpe.torches)
