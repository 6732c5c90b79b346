"""Measures one simulator, in a process of its own.

This file is run as a script, in any interpreter that has a simulator for Nengo networks
or, for training, whatever a side needs. It imports nothing of nengo_dl by itself, and
works with Python 3.6. Commands come as lines of JSON on its standard input, and each is
answered by one line on its standard output; what the simulator prints goes to standard
error.
"""

import gc
import importlib
import inspect
import json
import os
import platform
import sys
import time
import traceback
import warnings


def load_file(path):
    """Import a file or a package, wherever it is; a file finds its neighbours."""
    from importlib.util import module_from_spec, spec_from_file_location

    name = os.path.splitext(os.path.basename(path))[0]
    folder = path if os.path.isdir(path) else None
    spec = spec_from_file_location(
        name,
        os.path.join(folder, "__init__.py") if folder else path,
        submodule_search_locations=[folder] if folder else None,
    )
    module = module_from_spec(spec)
    if folder:  # for imports between its modules
        sys.modules[name] = module
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.path[0]
    return module


def load_object(where):
    """Return a class or function, and its module, from ``module:name``.

    The module can be the path of a file, ``path.py:name``.
    """
    module_name, _, name = where.rpartition(":")
    if module_name.endswith(".py"):
        module = load_file(module_name)
    else:
        module = importlib.import_module(module_name)
    return getattr(module, name), module


def peak_bytes():
    """Return the largest amount of memory that this process had, or None."""
    try:
        # not by getrusage, which on Linux counts the process that started this one
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Worker:
    """A simulator that is made and run by commands.

    Parameters
    ----------
    network : str
        Name of a standard network.
    sizes : dict
        Its sizes; ``"minibatch"`` is the number of inputs to run at once.
    simulator : str
        The simulator's class, as ``module:Class``, or ``path.py:Class``.
    arguments : dict
        Further arguments of the simulator.
    networks : str
        Path of the package of networks.
    """

    def __init__(self, network, sizes, simulator, arguments, networks):
        self.network = network
        self.sizes = dict(sizes)
        self.simulator = simulator
        self.arguments = dict(arguments)
        self.networks = networks

    def load(self):
        """Import nengo and the simulator."""
        start = time.perf_counter()
        import nengo

        self.make_simulator, module = load_object(self.simulator)
        seconds = time.perf_counter() - start
        import numpy

        # every run solves for all decoders
        nengo.rc.set("decoder_cache", "enabled", "False")
        if not self.simulator.rpartition(":")[0].endswith(".py"):
            module = sys.modules[module.__name__.partition(".")[0]]
        return {
            "import_seconds": seconds,
            "import_bytes": peak_bytes(),
            "versions": {
                "python": platform.python_version(),
                "nengo": nengo.__version__,
                "numpy": numpy.__version__,
                module.__name__: str(getattr(module, "__version__", "unknown")),
            },
        }

    def build(self):
        """Make the network, then the simulator."""
        networks = load_file(self.networks)
        benchmark = networks.NETWORKS[self.network]
        minibatch = self.sizes.pop("minibatch", benchmark.minibatch)
        start = time.perf_counter()
        net = networks.make_network(self.network, self.sizes)
        network_seconds = time.perf_counter() - start
        arguments = {"progress_bar": False}
        if minibatch:
            arguments["minibatch_size"] = minibatch
        accepted = inspect.signature(self.make_simulator).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            arguments = {k: v for k, v in arguments.items() if k in accepted}
        arguments.update(self.arguments)
        self.method = benchmark.method
        self.probe = net.all_probes[0]
        gc.collect()
        start = time.perf_counter()
        self.sim = self.make_simulator(net, **arguments)
        build_seconds = time.perf_counter() - start
        # nengo_ocl draws a bar in each run unless this run is told otherwise, and waits
        # for it a tenth of a second
        accepted = inspect.signature(self.sim.run_steps).parameters
        self.silent = {"progress_bar": False} if "progress_bar" in accepted else {}
        return {
            "network_seconds": network_seconds,
            "build_seconds": build_seconds,
            "items": arguments.get("minibatch_size") or 1,
            "n_neurons": sum(ens.n_neurons for ens in net.all_ensembles),
        }

    def run(self, n_steps):
        """Simulate some steps."""
        gc.collect()
        start = time.perf_counter()
        self._simulate(n_steps)
        return {"seconds": time.perf_counter() - start}

    def first(self, n_steps):
        """Simulate the first steps, and look at the data of the probe."""
        import numpy

        gc.collect()
        start = time.perf_counter()
        self._simulate(n_steps)
        data = self.sim.data[self.probe]
        seconds = time.perf_counter() - start
        rms = float(numpy.sqrt(numpy.mean(numpy.square(data, dtype=float))))
        return {"first_seconds": seconds, "output_rms": rms}

    def _simulate(self, n_steps):
        if self.method == "step":
            for _ in range(n_steps):
                self.sim.step()
        else:
            self.sim.run_steps(n_steps, **self.silent)

    def memory(self):
        """Return how much memory was used at most."""
        return {"peak_bytes": peak_bytes()}

    def close(self):
        """Close the simulator."""
        if hasattr(self, "sim"):
            self.sim.close()
        return {}


class TrainingWorker:
    """A side of a training benchmark that is made and run by commands.

    Parameters
    ----------
    side : str
        A function, as ``module:function``, or ``path.py:function``. It gets the
        problem, an object with settings and ``arrays`` as attributes, and returns a
        function and the number of trained values. That function trains with a number
        of minibatches, and returns the loss of the first one.
    arguments : dict
        Further arguments of the function.
    problem : str
        Path of a file with the problem.
    """

    def __init__(self, side, arguments, problem):
        self.side = side
        self.arguments = dict(arguments)
        self.problem = problem

    def load(self):
        """Import what the side needs."""
        start = time.perf_counter()
        self.make, _ = load_object(self.side)
        return {
            "import_seconds": time.perf_counter() - start,
            "versions": {
                name: str(sys.modules[name].__version__)
                for name in ("nengo_dl", "tensorflow", "keras", "torch", "numpy")
                if hasattr(sys.modules.get(name), "__version__")
            },
        }

    def build(self):
        """Read the problem, and make what trains it."""
        from types import SimpleNamespace

        import numpy

        with numpy.load(self.problem) as file:
            arrays = {name: file[name] for name in file.files}
        settings = json.loads(str(arrays.pop("settings")))
        problem = SimpleNamespace(arrays=arrays, **settings)
        start = time.perf_counter()
        self.train, n_parameters = self.make(problem, **self.arguments)
        build_seconds = time.perf_counter() - start
        gc.collect()
        return {
            "build_seconds": build_seconds,
            "n_parameters": int(n_parameters),
            "build_bytes": peak_bytes(),
        }

    def first(self):
        """Train with one minibatch, which includes compilation."""
        start = time.perf_counter()
        loss = self.train(1)
        return {"first_seconds": time.perf_counter() - start, "loss": float(loss)}

    def run(self, n_minibatches):
        """Train with some minibatches."""
        gc.collect()
        start = time.perf_counter()
        self.train(n_minibatches)
        return {"seconds": time.perf_counter() - start}

    def memory(self):
        """Return how much memory was used at most."""
        return {"peak_bytes": peak_bytes()}


#: What the first command starts.
KINDS = {"start": Worker, "start training": TrainingWorker}


def main():
    """Obey commands until there are none."""
    # whatever is printed from here on must not be taken for an answer
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    # modules next to this file must not be found in the place of others
    sys.path[:] = [
        path
        for path in sys.path
        if os.path.abspath(path or ".") != os.path.dirname(os.path.abspath(__file__))
    ]
    worker = None
    for line in sys.stdin:
        command = json.loads(line)
        action = command.pop("do")
        try:
            if action in KINDS:
                worker = KINDS[action](**command)
                answer = worker.load()
            else:
                answer = getattr(worker, action)(**command)
        except BaseException as error:
            answer = {
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
            }
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
