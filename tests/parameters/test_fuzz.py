"""Damaged and malicious parameter files, by the hundred: right values, or one error.

``pytest tests/parameters/test_fuzz.py --fuzz-files 10000 -s`` tries more of them and
prints what became of each kind.
"""

import collections
import io
import json
import pathlib
import pickle
import struct
import tracemalloc
import zipfile

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

from nengo_dl.parameters.file.reading import read_arrays
from tests.parameters.forged import forge
from tests.parameters.test_file import (
    contents,
    described,
    everything_in,
    npy,
    small_network,
    write,
)
from tests.parameters.test_parameters import perturb, simulator

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (pathlib.Path.touch, (self.path,))


class Mutations:
    """Ways to change a file; each gets random numbers and returns new bytes."""

    def __init__(self, path, bomb):
        self.data = path.read_bytes()
        self.scratch = path.with_name("scratch.npz")
        self.entries = contents(path)
        self.names = list(self.entries)
        self.bomb = bomb
        self.kinds = {
            name.removeprefix("mutate_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("mutate_")
        }

    def packed(self, entries, compression=zipfile.ZIP_STORED):
        stream = io.BytesIO()
        write(stream, entries, compression)
        return stream.getvalue()

    def with_entry(self, name, data):
        entries = {**self.entries, name: data}
        return self.packed(entries.items())

    def choose(self, rng):
        return self.names[rng.randint(len(self.names))]

    def mutate_bit_flips(self, rng):
        data = bytearray(self.data)
        for place in rng.randint(len(data), size=rng.randint(1, 9)):
            data[place] ^= 1 << rng.randint(8)
        return data

    def mutate_structure_flips(self, rng):
        """Flips in the headers of the archive and its list, where they hurt most."""
        data = bytearray(self.data)
        marks = [b"PK\3\4", b"PK\1\2", b"PK\5\6", b"\x93NUMPY"]
        mark = marks[rng.randint(len(marks))]
        places = [i for i in range(len(data)) if data.startswith(mark, i)]
        start = places[rng.randint(len(places))]
        for _ in range(rng.randint(1, 4)):
            place = min(start + rng.randint(46), len(data) - 1)
            data[place] = rng.randint(256)
        return data

    def mutate_truncation(self, rng):
        return self.data[: rng.randint(len(self.data))]

    def mutate_extension(self, rng):
        more = rng.bytes(rng.randint(1, 200))
        return self.data + more if rng.randint(2) else more + self.data

    def mutate_moved_blocks(self, rng):
        start, stop, to = np.sort(rng.randint(len(self.data), size=3))
        data = self.data
        return data[:start] + data[stop:to] + data[start:stop] + data[to:]

    def mutate_overwritten(self, rng):
        data = bytearray(self.data)
        start = rng.randint(len(data))
        piece = rng.bytes(rng.randint(1, 64))
        data[start : start + len(piece)] = piece
        return data

    def mutate_renamed(self, rng):
        names = list(self.names)
        number = rng.randint(len(names))
        new = [self.choose(rng), "x.npy", "../x.npy", "net", ".npy"][rng.randint(5)]
        names[number] = new
        return self.packed(zip(names, self.entries.values(), strict=True))

    def mutate_swapped(self, rng):
        one, two = self.choose(rng), self.choose(rng)
        swapped = {**self.entries, one: self.entries[two], two: self.entries[one]}
        return self.packed(swapped.items())

    def mutate_reordered(self, rng):
        order = rng.permutation(len(self.names))
        return self.packed((n, self.entries[n]) for n in np.array(self.names)[order])

    def mutate_removed(self, rng):
        gone = self.choose(rng)
        return self.packed((n, d) for n, d in self.entries.items() if n != gone)

    def mutate_oversized_description(self, rng):
        shape = (
            (2 ** rng.randint(20, 60),),
            (2**31, 2**31, 2**31),
            (2**20,) * rng.randint(3, 40),
            (-(2**40),),
            "(" * rng.randint(100, 4000),
            f"({'9' * rng.randint(10, 5000)},)",
        )[rng.randint(6)]
        length = (None, 65535, 9999)[rng.randint(3)]
        data = described(shape, length=length) + bytes(rng.randint(100))
        return self.with_entry(self.choose(rng), data)

    def mutate_oversized_sizes(self, rng):
        """Sizes and counts in the list of entries and in the record at the end."""
        data = bytearray(self.data)
        huge = struct.pack("<L", (2**31, 2**32 - 1, 2**32 - 2)[rng.randint(3)])
        if rng.randint(2):
            place = len(data) - (10, 6)[rng.randint(2)]
        else:
            found = [i for i in range(len(data)) if data.startswith(b"PK\1\2", i)]
            place = found[rng.randint(len(found))] + (20, 24, 42)[rng.randint(3)]
        data[place : place + 4] = huge
        return data

    def mutate_header(self, rng):
        """Wrong, missing, huge or deep values anywhere in the header."""
        about = json.loads(np.load(io.BytesIO(self.entries["header.npy"])).tobytes())
        part = about
        while True:
            key = list(part)[rng.randint(len(part))]
            if not isinstance(part[key], dict) or not part[key] or rng.randint(3) == 0:
                break
            part = part[key]
        values = [None, -1, 2**70, 1.5, "x" * 10**5, [], {}, [[[]]] * 99, True, "<f4"]
        if rng.randint(4) == 0:
            del part[key]
        else:
            part[key] = values[rng.randint(len(values))]
        text = json.dumps(about).encode()
        return self.with_entry("header.npy", npy(np.frombuffer(text, np.uint8)))

    def mutate_consistent(self, rng):
        """Wrong shapes, types, values and names, with right headers and checksums."""
        self.scratch.write_bytes(self.data)
        arrays = read_arrays(self.scratch)[0]
        names = [name for name in arrays if name != "header"]
        name = names[rng.randint(len(names))]
        old = np.array(arrays[name])
        streams = [n for n in names if n.endswith("/keys")]
        nasty = "\x1b[2J" + "n" * 10 ** rng.randint(1, 5)
        changes = (
            lambda: {name: np.zeros((*old.shape, 2), old.dtype)},
            lambda: {name: old.astype("f8").reshape(-1)[:-1]},
            lambda: {name: old.astype("c16")},
            lambda: {streams[rng.randint(len(streams))]: np.zeros((1, 624), np.uint32)},
            lambda: {"streams/steps": np.array(rng.choice([-1, 2**53 + 1, 2**63 - 1]))},
            lambda: {"streams/seeds": np.array([rng.choice([-1, 2**32])])},
            lambda: {f"{('', 'state/', 'streams/')[rng.randint(3)]}{nasty}": old},
        )[rng.randint(7)]()
        forge(self.scratch, changes)
        return self.scratch.read_bytes()

    def mutate_arrays(self, rng):
        """Arrays of other shapes and types under the right names."""
        shape = tuple(rng.randint(5, size=rng.randint(4)))
        kinds = ["f8", "f4", "i8", "u1", "?", "c16", "S3", "M8[s]", "V4"]
        array = np.zeros(shape, kinds[rng.randint(len(kinds))])
        return self.with_entry(self.choose(rng), npy(array))

    def mutate_zip_bomb(self, rng):
        kind = (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        size = 2 ** rng.randint(20, 24)
        name = self.choose(rng) if rng.randint(2) else "x.npy"
        entries = {**self.entries, name: bytes(size)}
        return self.packed(entries.items(), kind[rng.randint(3)])

    def mutate_pickled(self, rng):
        array = np.empty(rng.randint(1, 9), dtype=object)
        array[:] = self.bomb
        if rng.randint(8) == 0:
            return pickle.dumps(self.bomb, protocol=rng.randint(6))
        data = npy(array, allow_pickle=True)
        if rng.randint(2):  # claims to be numbers
            data = data.replace(b"'|O'", b"'<f8'")
        return self.with_entry(self.choose(rng), data)


def test_mutated_files_load_right_values_or_are_refused(tmp_path, request):
    n_files = request.config.getoption("--fuzz-files")
    exploded = tmp_path / "exploded"
    net = small_network()
    with net:
        nengo.Node(nengo.processes.FilteredNoise(seed=1))
    results = collections.defaultdict(collections.Counter)
    peak = collections.Counter()
    with simulator(net) as sim:
        perturb(sim)
        sim.step()
        path = sim.save_params(tmp_path / "params", include_local=True)
        expected = everything_in(sim)
        mutations = Mutations(path, Bomb(exploded))
        before = None
        for number in range(n_files):
            kind = list(mutations.kinds)[number % len(mutations.kinds)]
            data = bytes(mutations.kinds[kind](np.random.RandomState(number)))
            path.write_bytes(data)
            if before is None:
                perturb(sim, seed=number)
                sim.step()
                before, n_steps = everything_in(sim), sim.n_steps
            tracemalloc.start()
            try:
                sim.load_params(path, include_local=True)
            except ValidationError as error:
                message = str(error)
                assert "Cannot load" in message and "Nothing was" in message
                assert message.isprintable() and len(message) < 3000, number
                assert (everything_in(sim), sim.n_steps) == (before, n_steps), number
                results[kind]["refused"] += 1
            else:
                assert (everything_in(sim), sim.n_steps) == (expected, 1), number
                results[kind]["loaded"] += 1
                before = None
            finally:
                used = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            peak[kind] = max(peak[kind], used)
            # a few times what the file has, whatever it claims
            assert used < 2**22 + 4 * len(data), number
            assert not exploded.exists(), number
    assert results["reordered"]["refused"] == 0
    for kind in ("truncation", "zip_bomb", "pickled", "removed", "consistent"):
        assert results[kind]["loaded"] == 0, kind
    for kind, counts in results.items():
        print(f"{kind:22} {dict(counts)}, at most {peak[kind] / 1e6:.1f} MB")
