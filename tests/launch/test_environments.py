"""What cluster managers say about the processes that they start."""

import json

import pytest
from nengo.exceptions import ValidationError

from nengo_dl.launch.environments import expand_hosts, in_cluster

SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_NTASKS": "3",
    "SLURM_STEP_NODELIST": "gpu[08-09]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "train-1.svc.ns"}


@pytest.mark.parametrize(
    "text, hosts",
    [
        ("a", ["a"]),
        ("a,b-1", ["a", "b-1"]),
        ("n[1-3,10]", ["n1", "n2", "n3", "n10"]),
        ("n[09-11]x,m[2]", ["n09x", "n10x", "n11x", "m2"]),
    ],
)
def test_hosts_of_slurm(text, hosts):
    assert expand_hosts(text) == hosts


def test_tasks_of_slurm_get_addresses():
    config = json.loads(in_cluster(SLURM, port=5000))
    assert config["cluster"]["worker"] == ["gpu08:5000", "gpu08:5001", "gpu09:5000"]
    assert config["task"] == {"type": "worker", "index": 2}


def test_tasks_per_node_may_be_repeated():
    more = {"SLURM_NTASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}
    config = json.loads(in_cluster({**SLURM, **more}))
    assert len(config["cluster"]["worker"]) == 4


@pytest.mark.parametrize("variables", [{"HOSTNAME": "train-1.svc.ns"}, {}])
def test_pods_of_kubernetes_get_addresses(variables):
    environment = {**KUBERNETES, "JOB_COMPLETION_INDEX": "1", **variables}
    config = json.loads(in_cluster(environment, 2))
    assert config["cluster"]["worker"] == ["train-0.svc.ns:2222", "train-1.svc.ns:2222"]
    assert config["task"]["index"] == 1


def test_service_can_be_given():
    environment = {**KUBERNETES, "HOSTNAME": "train-0"}
    config = json.loads(in_cluster(environment, 1, service="other"))
    assert config["cluster"]["worker"] == ["train-0.other:2222"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"},
        {"SLURM_NTASKS": "4"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "pod"},
        KUBERNETES,
    ],
    ids=["nothing", "one task", "allocation", "single pod", "unknown number"],
)
def test_process_of_its_own_is_none_of_a_cluster(environment):
    assert in_cluster(environment) is None


@pytest.mark.parametrize(
    "environment, n_workers, message",
    [
        (SLURM, 2, "SLURM has started 3 tasks"),
        ({**SLURM, "SLURM_NTASKS": "5"}, None, "SLURM has 5 tasks, and says"),
        (
            {**KUBERNETES, "JOB_COMPLETION_INDEX": "0"},
            2,
            "does not end with its number",
        ),
        ({**KUBERNETES, "JOB_COMPLETION_INDEX": "1"}, None, "give --workers"),
    ],
    ids=["other number", "contradiction", "no service", "no number"],
)
def test_contradictions_are_explained(environment, n_workers, message):
    with pytest.raises(ValidationError, match=message):
        in_cluster(environment, n_workers)
