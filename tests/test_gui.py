"""Nengo GUI's server, driven through its protocol, with this simulator behind it."""

import base64
import os
import socket
import struct
import time
import urllib.request

import numpy as np
import pytest

import nengo_dl

nengo_gui = pytest.importorskip("nengo_gui")
pytestmark = pytest.mark.filterwarnings("ignore")  # the GUI's own

MODEL = """\
import nengo

model = nengo.Network(seed=0)
with model:
    stimulus = nengo.Node([0.5])
    ens = nengo.Ensemble(50, 1)
    nengo.Connection(stimulus, ens)
"""

LAYOUT = """\
_viz_slider = nengo_gui.components.Slider(stimulus)
_viz_value = nengo_gui.components.Value(ens)
_viz_sim_control = nengo_gui.components.SimControl()
_viz_config[_viz_sim_control].kept_time = 4.0
"""


class Client:
    """A websocket of a component, as the browser opens it."""

    def __init__(self, port, cookie, component):
        self.socket = socket.create_connection(("localhost", port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /viz_component?uid={id(component)} HTTP/1.1\r\nCookie: {cookie}\r\n"
            f"Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.received = b""
        while b"\r\n\r\n" not in self.received:
            self.received += self.socket.recv(4096)
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        assert b"101" in head.splitlines()[0]

    def send(self, text):
        """Send a message; what clients send is masked."""
        data, mask = text.encode(), os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.socket.sendall(struct.pack("!BB", 0x81, 0x80 | len(data)) + mask + masked)

    def _take(self, size):
        while len(self.received) < size:
            more = self.socket.recv(65536)
            assert more, "the server has closed the connection"
            self.received += more
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def frame(self):
        """Return the kind of the next message, and its content."""
        code, length = self._take(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return code & 0x0F, self._take(length)

    def rows(self, width):
        """Return the rows of numbers in the next message that has some."""
        while True:
            kind, content = self.frame()
            if kind == 2:
                return np.frombuffer(content, "<f4").reshape(-1, width)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page of the GUI, of which the simulator is ours."""
    script = tmp_path / "model.py"
    script.write_text(MODEL)
    (tmp_path / "model.py.cfg").write_text(LAYOUT)
    monkeypatch.chdir(tmp_path)
    from nengo_gui.gui import GuiThread
    from nengo_gui.guibackend import GuiServerSettings, ModelContext
    from nengo_gui.page import PageSettings

    gui = GuiThread(
        ModelContext(filename=str(script)),
        GuiServerSettings(("localhost", 0), auto_shutdown=0),
        PageSettings(backend="nengo_dl", editor_class=nengo_gui.components.NoEditor),
    )
    gui.start()
    gui.wait_for_startup()
    port = gui.server.server_port
    address = f"http://localhost:{port}/?token={gui.server.auth_token}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        assert b"new Nengo.Value" in answer.read()
    (page,) = gui.server.pages

    def connect(name):
        return Client(port, cookie, page.locals[name])

    yield page, connect
    page.finished = True
    gui.shutdown(timeout=10)


def latest(client, width, condition, seconds=60):
    """Return the first row that fulfils a condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for row in client.rows(width):
            if condition(row):
                return row
    raise AssertionError("nothing of the kind was received")


def test_gui_runs_pauses_resets_and_moves_sliders(page):
    page, connect = page
    control = connect("_viz_sim_control")
    value, slider = connect("_viz_value"), connect("_viz_slider")

    control.send("continue")
    row = latest(value, 2, lambda row: row[0] > 0.1)
    assert isinstance(page.sim, nengo_dl.Simulator)
    assert abs(row[1] - 0.5) < 0.2  # what the ensemble decodes

    slider.send("0,-0.5")
    latest(value, 2, lambda row: abs(row[1] + 0.5) < 0.2)

    control.send("pause")
    end = time.monotonic() + 10
    steps = -1
    while page.sim.n_steps != steps and time.monotonic() < end:
        steps = page.sim.n_steps
        time.sleep(0.3)
    assert page.sim.n_steps == steps  # it has stopped

    control.send("reset")
    control.send("continue")
    row = latest(value, 2, lambda row: 0 < row[0] < steps * 0.001)
    assert page.error is None
