"""Run a model in Nengo GUI, in a real browser, and save a picture of it.

``python docs/gui_screenshot.py PICTURE``, where ``nengo-gui`` and ``playwright`` are
installed. A slider is moved, the model is paused, reset and edited, an error is typed
into its code; what happens is compared with what should. ``--browser`` names a Chromium
that is installed already; without it, playwright's own is used.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

MODEL = """\
import nengo
import numpy as np

model = nengo.Network(seed=0)
with model:
    stimulus = nengo.Node([0.5])
    ens = nengo.Ensemble(60, 1)
    square = nengo.Ensemble(60, 1)
    nengo.Connection(stimulus, ens)
    nengo.Connection(ens, square, function=np.square)
"""

#: Centres and halves of sizes, as parts of the plane.
LAYOUT = """\
_viz_slider = nengo_gui.components.Slider(stimulus)
_viz_config[_viz_slider].x = 0.09
_viz_config[_viz_slider].y = 0.66
_viz_config[_viz_slider].width = 0.06
_viz_config[_viz_slider].height = 0.22
_viz_raster = nengo_gui.components.Raster(ens)
_viz_config[_viz_raster].x = 0.36
_viz_config[_viz_raster].y = 0.22
_viz_config[_viz_raster].width = 0.2
_viz_config[_viz_raster].height = 0.16
_viz_value = nengo_gui.components.Value(square)
_viz_config[_viz_value].x = 0.78
_viz_config[_viz_value].y = 0.22
_viz_config[_viz_value].width = 0.2
_viz_config[_viz_value].height = 0.16
_viz_config[model].pos = (0, 0)
_viz_config[model].size = (1, 1)
_viz_config[model].expanded = True
_viz_config[model].has_layout = True
_viz_config[stimulus].pos = (0.29, 0.7)
_viz_config[stimulus].size = (0.06, 0.07)
_viz_config[ens].pos = (0.54, 0.7)
_viz_config[ens].size = (0.08, 0.1)
_viz_config[square].pos = (0.82, 0.7)
_viz_config[square].size = (0.08, 0.1)
"""

#: The latest value in a plot.
PLOTTED = """() => {
    const plot = Nengo.Component.components.find((c) => c instanceof Nengo.Value);
    return plot.data_store.data[0].at(-1);
}"""
#: Objects in the picture of the model.
DRAWN = "() => Object.keys(Nengo.netgraph.svg_objects)"
REPLACE = "(change) => Nengo.ace.editor.setValue(Nengo.ace.current_code + change, 1)"


@contextlib.contextmanager
def server(model, backend):
    """Run Nengo GUI with a model, and yield its address."""
    command = [sys.executable, "-c", "from nengo_gui.main import main; main()"]
    command += ["--backend", backend, "--no-browser", "--auto-shutdown", "0"]
    process = subprocess.Popen(
        [*command, model.name], cwd=model.parent, stdout=subprocess.PIPE, text=True
    )
    try:
        for line in process.stdout:
            if line.strip().startswith("http"):
                yield line.strip()
                break
        else:
            raise SystemExit("Nengo GUI has not started")
    finally:
        process.terminate()
        process.wait(10)


class Gui:
    """The page of a model, as someone at a browser uses it."""

    def __init__(self, page):
        self.page = page
        self.problems = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    def time(self):
        """Return the time of the simulation, in seconds."""
        return self.page.evaluate("() => sim.time")

    def see(self, what, condition, seconds=60):
        """Wait for something, and say how long that took."""
        start = time.monotonic()
        while not condition():
            if time.monotonic() > start + seconds:
                self.problems.append(f"not seen in {seconds} s: {what}")
                return
            self.page.wait_for_timeout(50)
        print(f"{what:58s} {time.monotonic() - start:5.1f} s")

    def play(self):
        """Press the button that runs and pauses."""
        self.page.click("#pause_button")

    def plotted(self):
        """Return the latest value of the plot."""
        return self.page.evaluate(PLOTTED)

    def drag_slider(self, pixels):
        """Move the first slider by some pixels, downwards."""
        box = self.page.locator("[data-object-type=slider_handle]").first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for step in range(1, 6):
            self.page.mouse.move(x, y + pixels * step / 5)
        self.page.mouse.up()

    def still(self):
        """Return whether the time of the simulation stands still."""
        before = self.time()
        self.page.wait_for_timeout(400)
        return self.time() == before


def drive(gui, picture):
    """Use a model as a newcomer would."""
    page = gui.page
    page.wait_for_selector("#pause_button")
    gui.see("the model is drawn", lambda: "square" in page.evaluate(DRAWN))
    gui.play()
    gui.see("it runs", lambda: gui.time() > 0)
    gui.see("the plot shows 0.5 squared", lambda: abs(gui.plotted() - 0.25) < 0.1)
    gui.see("it has run for 2 s", lambda: gui.time() > 2)
    gui.drag_slider(-40)
    gui.see("the plot follows the slider", lambda: gui.plotted() > 0.6)
    gui.drag_slider(80)
    gui.see("and follows it down", lambda: gui.plotted() < 0.3)
    speed = page.evaluate("() => sim.rate")
    page.screenshot(path=picture)
    gui.play()
    gui.see("it pauses", gui.still)
    gui.play()
    gui.see("it goes on", lambda: not gui.still())
    page.click("#reset_button")
    gui.see("it is reset", lambda: gui.time() == 0 and gui.still())
    gui.play()
    gui.see("it runs again", lambda: gui.time() > 0.1)

    page.evaluate(REPLACE, "    third = nengo.Ensemble(10, 1)\n")
    gui.see("an edit while it runs is drawn", lambda: "third" in page.evaluate(DRAWN))
    gui.see("and pauses it", gui.still)
    gui.play()
    gui.see("the edited model runs", lambda: not gui.still())
    page.evaluate(REPLACE, "    nengo.Ensemble(10, 'two')\n")
    errors = page.locator("#console_error")
    gui.see("an error is shown", lambda: "Ensemble" in errors.inner_text())
    print(f"speed: {speed:.2f} times real time")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("--browser", help="a Chromium; default: playwright's own")
    parser.add_argument("--backend", default="nengo_dl", help="default: nengo_dl")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        model = Path(folder) / "model.py"
        model.write_text(MODEL, encoding="utf-8")
        model.with_suffix(".py.cfg").write_text(LAYOUT, encoding="utf-8")
        with server(model, args.backend) as address:
            browser = playwright.chromium.launch(executable_path=args.browser)
            page = browser.new_page(viewport={"width": 1100, "height": 560})
            gui = Gui(page)
            page.goto(address)
            drive(gui, args.picture)
            browser.close()
    print("\n".join(gui.problems) or "all as it should be")
    return bool(gui.problems)


if __name__ == "__main__":
    sys.exit(main())
