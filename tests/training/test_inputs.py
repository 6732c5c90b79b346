"""How data of training becomes tensors."""

import threading

import nengo
import numpy as np
import pytest

import nengo_dl
from nengo_dl.training.data import ArrayData
from nengo_dl.training.shared_memory import empty_for_tensor, tensor_of


def made_for_tensor(values):
    array = empty_for_tensor(values.shape, values.dtype)
    array[...] = values
    return array


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 5), (0, 4)])
def test_tensors_have_the_values_of_arrays(shape, dtype):
    values = np.random.RandomState(0).uniform(size=shape).astype(dtype)
    tensor = tensor_of(made_for_tensor(values))
    assert tensor.shape == shape
    assert tensor.dtype == dtype
    assert np.array_equal(tensor.numpy(), values)


def test_tensors_use_memory_that_was_made_for_them():
    array = made_for_tensor(np.zeros((2, 3)))
    tensor = tensor_of(array)
    array[1, 2] = 7
    assert tensor.numpy()[1, 2] == 7


def test_tensors_keep_their_memory():
    tensors = [tensor_of(made_for_tensor(np.full(10**5, i))) for i in range(20)]
    assert [float(t.numpy().mean()) for t in tensors] == list(range(20))


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[1:],  # not aligned
        lambda array: array[:, ::2],
        lambda array: np.broadcast_to(array[0], (2, 3)),  # read-only
    ],
)
def test_other_memory_is_copied(view):
    array = view(made_for_tensor(np.zeros((3, 3), np.float32)))
    tensor = tensor_of(array)
    assert not np.shares_memory(tensor.numpy(), array)
    assert np.array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("n_steps, size", [(1, 3), (5, 3), (5, 1000)])
def test_shuffled_minibatches_are_new_arrays_of_the_chosen_items(n_steps, size):
    given = np.random.RandomState(0).uniform(size=(6, n_steps, size))
    data = ArrayData({"a": np.moveaxis(given, 1, 0)}, {"b": given}, 6, n_steps, 2)
    order = np.random.RandomState(1).permutation(6)
    minibatches = list(data.epoch(np.random.RandomState(1)))
    for number, minibatch in enumerate(minibatches):
        rows = order[2 * number : 2 * number + 2]
        assert np.array_equal(minibatch.inputs["a"], np.moveaxis(given[rows], 1, 0))
        assert np.array_equal(minibatch.targets["b"], given[rows])
        assert minibatch.is_own
        assert not np.shares_memory(minibatch.inputs["a"], given)
    assert len(minibatches) == 3
    # those in order are views of the user's data, which may change later
    assert not any(minibatch.is_own for minibatch in data.epoch(None))


@pytest.mark.parametrize(
    "size, in_memory, is_ahead",
    [(2, True, False), (2, False, True), (400_000, True, True)],
)
def test_small_minibatches_in_memory_need_no_other_thread(size, in_memory, is_ahead):
    with nengo.Network() as net:
        node = nengo.Node(np.zeros(size))
        nengo.Probe(node)
    threads = []

    def watched(minibatches):
        for minibatch in minibatches:
            threads.append(threading.current_thread())
            yield minibatch

    with nengo_dl.Simulator(net, minibatch_size=1, progress_bar=False) as sim:
        trainer = sim._get_training().trainer
        values = np.arange(5, dtype=np.float32)[None, :, None]
        values = np.broadcast_to(values, (1, 5, size))
        data = ArrayData({sim.model.sig[node]["out"]: values}, {}, 5, 1, 1)
        prepared = trainer.inputs.prepare(
            watched(data.epoch(None)), np.random.RandomState(0), in_memory=in_memory
        )
        first = [parts[0].pieces[0][0].numpy()[0, 0, 0] for parts in prepared]
    assert first == [0, 1, 2, 3, 4]
    assert (threads[-1] is not threading.main_thread()) == is_ahead
