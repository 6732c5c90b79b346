"""What can be said about workers without any others."""

import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl
from nengo_dl.distribution.workers import Workers, is_first_process


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    return Workers()


@pytest.fixture
def second_of_three(alone):
    """Without a connection: what it says about itself is what counts here."""
    alone.rank, alone.count = 1, 3
    return alone


def test_worker_alone_has_its_own_sums(alone):
    assert repr(alone) == "<worker 0 of 1>"
    assert is_first_process()
    assert alone.total(np.ones(3)).numpy().tolist() == [1, 1, 1]
    assert alone.gather([1, 2]).tolist() == [[1, 2]]
    assert alone.broadcast([1, 2]).tolist() == [1, 2]
    assert alone.texts("a text") == ["a text"]
    alone.compare({"anything": "same"})


def test_sequence_is_shared(second_of_three):
    assert second_of_three.share(list("abcdefg")) == ["b", "e"]
    assert second_of_three.share(np.arange(4)) == [1]


def test_dataset_is_shared_by_element(second_of_three):
    dataset = tf.data.Dataset.range(7)
    assert list(second_of_three.share(dataset).as_numpy_iterator()) == [1, 4]


@pytest.mark.parametrize(
    "data, message",
    [
        (["a", "b"], r"3 workers, more than elements \(2\)"),
        (tf.data.Dataset.range(2), r"3 workers, more than elements \(2\)"),
        ({"a": 1}, "a tf.data.Dataset, or a sequence"),
        ("file", "a tf.data.Dataset, or a sequence"),
    ],
    ids=["list", "dataset", "dict", "text"],
)
def test_what_cannot_be_shared_is_explained(second_of_three, data, message):
    with pytest.raises(ValidationError, match=message):
        second_of_three.share(data)


@pytest.mark.parametrize("timeout", [0, -1, "long", None])
def test_timeout_must_be_seconds(timeout):
    with pytest.raises(ValidationError, match="seconds above 0"):
        Workers(timeout=timeout)


def test_rank_needs_addresses():
    with pytest.raises(ValidationError, match="Give the addresses"):
        Workers(rank=1)


def test_workers_come_before_tensorflow_runs():
    tf.ones(1)
    with pytest.raises(SimulationError, match=r"Workers\(\) at the beginning"):
        nengo_dl.Workers(["127.0.0.1:45997", "127.0.0.1:45998"], 0)
