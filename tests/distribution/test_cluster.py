"""Who works together, as TF_CONFIG or arguments say."""

import json
import socket

import pytest
from nengo.exceptions import ValidationError

from nengo_dl.distribution.cluster import Cluster, check_port

TWO = ["10.0.0.1:2222", "10.0.0.2:2222"]


def config(cluster, **task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_process_without_config_works_alone():
    for environment in ({}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}):
        assert Cluster.found(environment).count == 1


def test_config_is_read():
    found = Cluster.found(config({"worker": TWO}, type="worker", index=1))
    assert found == Cluster(tuple(TWO), 1)
    assert Cluster.found({"TF_CONFIG": found.config}) == found


def test_chief_comes_first():
    cluster = {"worker": TWO, "chief": ["10.0.0.9:1"]}
    chief = Cluster.found(config(cluster, type="chief", index=0))
    worker = Cluster.found(config(cluster, type="worker", index=1))
    assert chief.addresses == worker.addresses == ("10.0.0.9:1", *TWO)
    assert (chief.rank, worker.rank) == (0, 2)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "TF_CONFIG is not valid JSON"),
        ("[1]", "TF_CONFIG must be like .* 'worker'|must be like"),
        ('{"cluster": 3}', "must be like"),
        ('{"cluster": {"worker": ["a:1"]}, "task": []}', "must be like"),
        (
            '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
            "no",
        ),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}', "other kinds .*: ps"),
        ('{"cluster": {"worker": ["a:1"]}}', "of the kind None"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "the worker number 1, and there are 1",
        ),
        (
            '{"cluster": {"worker": ["a:x"]}, "task": {"type": "worker", "index": 0}}',
            "'host:port'",
        ),
    ],
)
def test_malformed_config_is_explained(text, message):
    with pytest.raises(ValidationError, match=message):
        Cluster.found({"TF_CONFIG": text})


@pytest.mark.parametrize(
    "addresses, rank, message",
    [
        ("a:1", 0, "list of addresses"),
        ([], 0, "no addresses"),
        (["a:1", "a:1"], 0, "appears 2 times"),
        (["a:70000"], 0, "host:port"),
        ([5], 0, "host:port"),
        (TWO, 2, "from 0 to 1"),
        (TWO, None, "from 0 to 1"),
    ],
)
def test_bad_arguments_are_explained(addresses, rank, message):
    with pytest.raises(ValidationError, match=message):
        Cluster.given(addresses, rank)


def test_port_in_use_is_an_error():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValidationError, match=f"Port {port} is in use"):
            check_port(f"127.0.0.1:{port}")
    check_port(f"127.0.0.1:{port}")
