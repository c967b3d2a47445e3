# SPDX-License-Identifier: BSD-2-Clause
"""The training script on a small text: it repeats, it resumes, it exports, it learns."""

import json
import math

import numpy as np
import pytest

from mixpe.lm import LlamaModel

torch = pytest.importorskip("torch")
train = pytest.importorskip("mixpe.models.train")
optimizer = pytest.importorskip("mixpe.models.optimizer")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lib")
    for i in range(20):
        (folder / f"m{i:02}.py").write_text(f"def function_{i}(x):\n    return x + {i}\n" * 20)
    return folder


def options(library, out, *words):
    return train.parser().parse_args(["--library", str(library), "--out", str(out), "--batch", "2", "--threads", "1",
                                      *words])


def weights(run):
    return {name: p.detach().clone() for name, p in run.network.named_parameters()}


def steps(run, first, last):
    text = np.frombuffer(train.corpus.load("train", run.manifest, run.args.library).joined(), np.uint8)
    batches = train.windows(text, run.args.batch, 256, run.args.seed)
    pieces = [next(batches) for _ in range(last)][first:]
    return [run.advance(piece)[0] for piece in pieces]


def test_a_run_repeats_and_resumes_to_the_bit(library, tmp_path):
    whole = train.Run(options(library, tmp_path, "--steps", "6"))
    losses = steps(whole, 0, 6)
    again = train.Run(options(library, tmp_path, "--steps", "6"))
    assert steps(again, 0, 3) == losses[:3]
    again.save()
    resumed = train.Run(options(library, tmp_path, "--steps", "6"))
    resumed.resume()
    assert resumed.step == 3 and steps(resumed, 3, 6) == losses[3:]
    for name, p in weights(whole).items():
        assert torch.equal(p, weights(resumed)[name]), name
    other = train.Run(options(library, tmp_path, "--steps", "6", "--seed", "2"))
    assert steps(other, 0, 1) != losses[:1]


def test_the_script_trains_and_exports_a_model(library, tmp_path, capsys):
    words = ["--library", str(library), "--out", str(tmp_path), "--batch", "2", "--threads", "1", "--eval-every", "4"]
    assert train.main([*words, "--steps", "8"]) == 0
    assert "step 8 of 8" in capsys.readouterr().out
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["step"] == record["steps"] == 8 and record["losses"][-1]["step"] == 8
    assert record["losses"][-1]["held_out"] < record["losses"][0]["held_out"] < 8.0
    assert str(tmp_path) not in json.dumps(record) and str(library) not in json.dumps(record)
    # The exported folder is the network, in FP16.
    model = LlamaModel.from_pretrained(tmp_path)
    network = train.Llama(train.CONFIG)
    network.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"])
    with torch.no_grad():
        wanted = network(torch.tensor([list(b"def function")]))[0].numpy()
    np.testing.assert_allclose(model.logits(b"def function"), wanted, atol=0.02)


def test_windows_cover_each_epoch_once():
    text = np.arange(5000, dtype=np.uint32)
    batches = train.windows(text, 4, 100, seed=1)
    first = np.concatenate([next(batches) for _ in range(12)])
    assert first.shape == (48, 101)
    assert len(set(first[:, 0].tolist())) == 48 and len(set((first[:, 0] % 100).tolist())) == 1
    assert not np.array_equal(first[:4], next(train.windows(text, 4, 100, seed=2)))


def test_rate_warms_up_and_decays_to_zero():
    assert train.rate(0, None) == pytest.approx(1 / train.WARM_UP_STEPS)
    assert train.rate(1000, None) == 1.0
    assert train.rate(500, 1000) == 1.0 and train.rate(750, 1000) == 0.5 and train.rate(999, 1000) == 0.002


def test_a_budget_ends_in_a_number_of_steps(library, tmp_path, capsys):
    words = ["--library", str(library), "--out", str(tmp_path), "--batch", "2", "--threads", "1", "--budget-s", "1"]
    assert train.main(words) == 0
    assert "the run will have" in capsys.readouterr().out
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["step"] == record["steps"] and record["steps"] % 2 == 0


def test_orthogonalised_updates_have_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((64, 128), (128, 64), (64, 64)):
        values = torch.linalg.svdvals(optimizer.orthogonalise(torch.randn(shape)))
        assert 0.3 < values.min() and values.max() < 1.3


def test_bits_per_byte_of_an_untrained_network_are_near_eight():
    torch.manual_seed(0)
    network = train.Llama(train.CONFIG)
    text = np.random.default_rng(0).integers(0, 256, 2000).astype(np.uint8)
    assert math.isclose(train.bits_per_byte(network, text, 256), 8.0, abs_tol=0.3)
