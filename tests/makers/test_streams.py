"""Random streams by name."""

import hashlib

import numpy as np
import pytest

from dmgammapy.makers import random_stream


def test_stream_is_the_seed_sequence_of_the_key():
    digest = hashlib.sha256(b"draco").hexdigest()
    words = [int.from_bytes(bytes.fromhex(digest[8 * i : 8 * i + 8]), "little") for i in range(8)]
    sequence = np.random.SeedSequence(5, spawn_key=(*words, 3))
    expected = np.random.Generator(np.random.PCG64(sequence)).random(10)
    assert np.array_equal(random_stream(5, "draco", 3).random(10), expected)


def test_streams_of_different_tasks_are_independent():
    tasks = [(s, n, r) for s in (1, 2) for n in ("a", "b", "ab") for r in range(40)]
    draws = np.array([random_stream(s, n, r).random(500) for s, n, r in tasks])
    correlation = np.corrcoef(draws)[np.triu_indices(len(tasks), 1)]
    # 28 680 pairs of standard deviation 1 / sqrt(500): chi2 per pair 1 +- 0.0084
    assert abs(np.mean(correlation**2) * 500 - 1) < 4 * np.sqrt(2 / len(correlation))
    assert np.abs(correlation).max() < 5.5 / np.sqrt(500)


@pytest.mark.parametrize("bad", [-1, 1.5, "1", True, None])
def test_bad_seed(bad):
    with pytest.raises(ValueError, match="seed must be an integer and not negative"):
        random_stream(bad, "a")
