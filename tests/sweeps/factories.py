"""What the sweeps of these tests call, in other processes, too."""

import atexit
import gc
import os
import signal
import sys
import time

import nengo
import numpy as np


def make(seed, tau=0.1):
    with nengo.Network(seed=seed) as net:
        step = nengo.Node(1)
        ens = nengo.Ensemble(10, 1)
        nengo.Connection(step, ens, synapse=tau)
        nengo.Probe(ens, synapse=0.02, label="decoded")
    return net


def last(sim):
    (probe,) = sim.model.probes
    return {"end": float(sim.data[probe][-1, 0])}


def compute(number):
    return {"square": number**2, "row": np.arange(number), "pid": os.getpid()}


def fail_sometimes(number):
    if number % 10 == 7:
        raise ValueError(f"{number} is no good")
    return {"square": number**2}


def die_sometimes(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"square": number**2}


def wait(number):
    print("pid", os.getpid(), flush=True)
    time.sleep(60 if number else 0)
    return {}


def count_cores(number):
    return {"cores": sorted(os.sched_getaffinity(0)), "pid": os.getpid()}


def return_nothing(number):
    return None


def return_lambda(number):
    return {"function": lambda: number}


def shadow(number):
    return {"number": 2}


def call(function):
    return {"found": function()}


def import_tensorflow():
    """Import it, without what Keras imports if it is there, which takes long."""
    sys.modules.update(dict.fromkeys(["sklearn", "matplotlib"]))
    atexit.register(gc.freeze)  # nor should its end take long
    import keras  # noqa: F401
