"""Files that are consistent and yet not what a simulator saves, and odd places."""

import io
import json
import os
import stat
import struct
import time

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

from nengo_dl.parameters.file import reading, writing
from tests.parameters.forged import forge
from tests.parameters.test_file import (
    contents,
    everything_in,
    npy,
    peak_bytes,
    small_network,
    write,
)
from tests.parameters.test_parameters import perturb, simulator

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")

KEYS = "streams/net.nodes[1].out/random/"
BIAS = "net.ensembles[0].bias"


@pytest.fixture
def saved(tmp_path):
    """A simulator with a random stream, a file of it, and what was in it."""
    net = small_network()
    with net:
        nengo.Node(nengo.processes.FilteredNoise())
    with simulator(net, seed=3) as sim:
        perturb(sim)
        sim.step()
        path = sim.save_params(tmp_path / "params", include_local=True)
        yield sim, path, everything_in(sim)


def refusal_of(sim, path, **kwargs):
    """Return the message of a file that is refused, and see that it does nothing."""
    before, n_steps = everything_in(sim), sim.n_steps
    with pytest.raises(ValidationError) as caught:
        sim.load_params(path, **{"include_local": True, **kwargs})
    assert (everything_in(sim), sim.n_steps) == (before, n_steps)
    return str(caught.value)


def zero_keys():
    keys = np.zeros((1, 624), np.uint32)
    keys[0, 0] = 2**31 - 1  # bits that the generator does not use
    return keys


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({KEYS + "keys": zero_keys()}, "consists of zeros, so it would never go on"),
        ({KEYS + "gauss": np.array([np.nan])}, "a number that is not finite"),
        ({"streams/steps": np.array(2**63 - 1)}, "impossible number of time steps, 92"),
        ({"streams/steps": np.array(2**53 + 1)}, "impossible number of time steps"),
    ],
)
def test_streams_that_would_never_end_are_refused(saved, changes, message):
    sim, path, _ = saved
    forge(path, changes)
    assert message in refusal_of(sim, path)
    sim.step()


def test_last_time_whose_steps_are_exact_is_loaded(saved):
    sim, path, _ = saved
    forge(path, {"streams/steps": np.array(2**53 - 10)})
    sim.load_params(path, include_local=True)
    assert sim.n_steps == 2**53 - 10


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_that_are_not_finite_are_said_or_refused(tmp_path, dtype):
    net = small_network()
    with simulator(net, dtype="float64") as sim:
        path = sim.save_params(tmp_path / "params")
    forge(path, {BIAS: np.array([np.nan, np.inf, *range(6)])})
    with simulator(net, dtype=dtype) as sim:
        assert "not finite" in refusal_of(
            sim, path, include_local=False, only_finite=True
        )
        with pytest.warns(UserWarning, match=r"bias' of it holds .* not finite.*NaN"):
            sim.load_params(path)
        np.testing.assert_array_equal(sim.data[net.a].bias[:2], [np.nan, np.inf])


def test_numbers_too_large_for_single_precision_are_said_or_refused(tmp_path):
    net = small_network()
    with simulator(net, dtype="float64") as sim:
        path = sim.save_params(tmp_path / "params")
        forge(path, {BIAS: np.array([1e300, *range(7)])})
        sim.load_params(path, only_finite=True)
        assert sim.data[net.a].bias[0] == 1e300
    with simulator(net, dtype="float32") as sim:
        message = refusal_of(sim, path, include_local=False, only_finite=True)
        assert "too large for float32" in message
        with pytest.warns(UserWarning, match="holds numbers too large for float32"):
            sim.load_params(path)


@posix
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.other", "which the network does not have"),
        ("state/net.other", "which this state lacks"),
        ("streams/net.nodes[1].out/ahead", "Cannot load the time and the random"),
        (f"optimizer/0-Adam/momentum/{BIAS}", "state of training is"),
        ("optimizer/0-Adam/own[0]", "state of training is"),
    ],
)
def test_header_is_checked_before_a_huge_file_is_read(saved, name, message):
    """The file has holes: 20 GB, of which some KB are on the disk."""
    sim, path, _ = saved
    n_values = 20 * 10**9 // 8
    extra = {name: np.zeros(1)}
    if name.startswith("optimizer"):
        stream = np.random.RandomState(0).get_state()
        extra["optimizer/random/keys"] = np.array(stream[1], np.uint32)
        extra["optimizer/random/position"] = np.array([624, 0])
        extra["optimizer/random/gauss"] = np.array(0.0)
    enlarge(path, extra, name, n_values)
    assert path.stat().st_size > 2 * 10**10
    start = time.perf_counter()
    messages = []
    used = peak_bytes(lambda: messages.append(refusal_of(sim, path)))
    assert message in messages[0]
    assert used < 2**24 and time.perf_counter() - start < 20


def enlarge(path, extra, name, n_values):
    """Add arrays to a file, one of them with zeros that take no room on the disk."""
    forge(path, {**extra, name: np.zeros(1)})
    entries = contents(path)
    about = json.loads(np.load(io.BytesIO(entries["header.npy"])).tobytes())
    about["entries"][name]["shape"] = (
        [n_values, 1, 1] if name.endswith("ahead") else [n_values]
    )
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    entries["header.npy"] = npy(text)
    (large,) = (n for n in entries if n == f"{name}.npy")
    entries[large] = entries.pop(large)  # last, so that zeros can follow it
    write(path, entries.items())
    data = path.read_bytes()
    n_bytes = 8 * n_values
    local, listed = data.rindex(b"PK\3\4"), data.rindex(b"PK\1\2")
    directory, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    size = len(entries[large]) - 8 + n_bytes
    # sizes of 64 bit, in the list of entries and at the end of the file
    fields = bytearray(data[listed:end])
    fields[20:28] = struct.pack("<2L", 2**32 - 1, 2**32 - 1)
    fields[30:32] = struct.pack("<H", 20)
    fields += struct.pack("<2H2Q", 1, 16, size, size)
    new_list = data[directory:listed] + bytes(fields)
    start = directory - 8 + n_bytes
    number = len(entries)
    with open(path, "wb") as file:
        file.write(data[: directory - 8])
        file.seek(start)
        file.write(new_list)
        file.write(
            struct.pack(
                *("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0),
                *(number, number, len(new_list), start),
            )
        )
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, start + len(new_list), 1))
        file.write(
            struct.pack(
                *("<4s4H2LH", b"PK\5\6", 0, 0, number, number),
                *(len(new_list), 2**32 - 1, 0),
            )
        )
    assert data[local : local + 4] == b"PK\3\4"


NASTY = "net.\x1b[2J\x1b]0;gotcha\x07\r\u202e" + "x" * 5000


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: forge(path, {NASTY: np.zeros(1)}),
        lambda path: forge(path, {f"state/{NASTY}": np.zeros(1)}),
        lambda path: forge(path, {f"streams/{NASTY}": np.zeros(1)}),
        lambda path: forge(path, {f"streams/{NASTY}/ahead": np.zeros(1)}),
        lambda path: forge(path, {f"start/{NASTY}": np.zeros(1), NASTY: np.ones(1)}),
        lambda path: forge(path, {}, lambda o: o.update({NASTY: {"type": NASTY}})),
        lambda path: forge(
            path, {}, lambda o: o["net.ensembles[0]"].update({"label": NASTY})
        ),
        lambda path: forge(
            path, {}, lambda o: o["net.ensembles[0]"].update({NASTY: [NASTY] * 9})
        ),
        lambda path: forge(
            path, {}, lambda o: o.update({f"{n}{NASTY}": {} for n in range(100)})
        ),
        lambda path: write(path, [*contents(path).items(), (NASTY, b"")]),
        lambda path: write(path, [(f"{NASTY}.npy", b""), *contents(path).items()]),
        lambda path: path.write_bytes(
            path.read_bytes().replace(b"net.ens", b"net\x1b[2J", 1)
        ),
    ],
)
def test_messages_about_files_are_short_and_harmless(saved, damage):
    sim, path, _ = saved
    damage(path)
    message = refusal_of(sim, path)
    assert message.isprintable(), message
    assert len(message) < 3000


def test_report_of_what_was_skipped_is_harmless(saved):
    sim, path, _ = saved
    forge(path, {f"start/{NASTY}": np.zeros(1)})
    report = sim.load_params(path)
    assert f"start/{NASTY}" in report.skipped
    assert all(line.isprintable() for line in str(report).splitlines())
    assert max(map(len, str(report).splitlines())) < 300


# -- what is no file


@posix
def test_named_pipes_are_refused_and_left(saved):
    sim, path, _ = saved
    path.unlink()
    os.mkfifo(path)
    message = refusal_of(sim, path)
    assert "Cannot load from" in message and "it is a named pipe, not a file" in message
    with pytest.raises(ValidationError, match=r"Cannot save to .* it is a named pipe"):
        sim.save_params(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    bare = path.rename(path.with_name("bare"))
    with pytest.raises(ValidationError, match="it is a named pipe"):
        sim.load_params(bare)


@posix
def test_devices_are_refused_and_left(saved, tmp_path):
    sim, *_ = saved
    link = tmp_path / "link.npz"
    link.symlink_to("/dev/zero")
    with pytest.raises(ValidationError, match=r"Cannot load from .* it is a device"):
        sim.load_params(link)
    with pytest.raises(ValidationError, match=r"Cannot save to .* it is a device"):
        sim.save_params(link)
    assert stat.S_ISCHR(os.stat("/dev/zero").st_mode)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_new_contents_are_not_readable_by_others_meanwhile(tmp_path, mode, monkeypatch):
    path = tmp_path / "params.npz"
    writing.write_arrays(path, {"n": np.zeros(3)})
    path.chmod(mode)
    modes = []

    def fsync(descriptor):
        found = os.fstat(descriptor).st_mode
        if stat.S_ISREG(found):
            modes.append(stat.S_IMODE(found))

    monkeypatch.setattr(writing.os, "fsync", fsync)
    writing.write_arrays(path, {"n": np.ones(3)})
    assert modes == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert reading.read_arrays(path)[0]["n"].all()


@posix
def test_new_files_have_the_usual_permissions(tmp_path):
    other = tmp_path / "other"
    other.touch()
    path = tmp_path / "params.npz"
    writing.write_arrays(path, {"n": np.zeros(3)})
    assert path.stat().st_mode == other.stat().st_mode


@posix
@pytest.mark.parametrize("length", [234, 237, 238, 250, 251])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_long_names_can_be_saved(saved, length, letter):
    """A system's names have up to 255 bytes, the suffix among them."""
    sim, path, before = saved
    name = letter * (length // len(letter.encode()))
    for _ in range(2):
        long = sim.save_params(path.with_name(name), include_local=True)
    assert len(os.fsencode(long.name)) > length - 2 + 4
    perturb(sim)
    sim.load_params(path.with_name(name), include_local=True)
    assert everything_in(sim) == before
    assert {p.name for p in path.parent.iterdir()} == {path.name, long.name}
    with pytest.raises(OSError, match=r"Cannot save to .*File name too long"):
        sim.save_params(path.with_name("x" * 252))


@posix
def test_abandoned_files_of_long_names_are_removed(tmp_path):
    path = tmp_path / f"{'x' * 251}.npz"
    abandoned = tmp_path / writing.temporary_name(path)
    abandoned.touch()
    os.utime(abandoned, (time.time() - 1e6,) * 2)
    writing.write_arrays(path, {"n": np.zeros(3)})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", [".", "x/.", "foo/", "foo/..", "./"])
def test_names_of_folders_are_refused(saved, name):
    sim, path, _ = saved
    for method in (sim.save_params, sim.load_params):
        with pytest.raises(ValidationError, match="Must be the name of a file; got"):
            method(f"{path.parent}/{name}")
    assert [p.name for p in path.parent.iterdir()] == [path.name]
