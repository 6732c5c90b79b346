"""Run the examples, and keep what they print and draw for their pages.

``python docs/run_examples.py`` renews the files in ``docs/images``;
``python docs/run_examples.py --quick`` only checks that all examples work.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def quickened(source):
    """Return the source of a script without arguments, with a tenth of its epochs."""
    return re.sub(
        r"^N_EPOCHS = (\d+)$",
        lambda found: f"N_EPOCHS = {int(found[1]) // 10}",
        source,
        flags=re.MULTILINE,
    )


def command_for(script, folder, quick):
    """Return what runs a script; some begin with Nengo code, and take no arguments."""
    source = script.read_text(encoding="utf-8")
    if "argparse" not in source:
        return [sys.executable, "-c", quickened(source) if quick else source]
    picture = folder / f"{script.stem}.png"
    command = [sys.executable, str(script), "--output", str(picture)]
    return [*command, "--quick"] if quick else command


def run(script, folder, quick):
    """Run one script; return whether it ended well, what it printed, and seconds."""
    command = command_for(script, folder, quick)
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    return done.returncode == 0, done.stdout, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="such as spiking_digits; default: all")
    parser.add_argument("--quick", action="store_true", help="check, and keep nothing")
    args = parser.parse_args()
    scripts = sorted((ROOT / "examples").glob("*.py"))
    unknown = set(args.names) - {script.stem for script in scripts}
    if unknown:
        parser.error(f"there is no example {', '.join(sorted(unknown))}")
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if args.quick else ROOT / "docs" / "images"
        for script in scripts:
            if args.names and script.stem not in args.names:
                continue
            well, printed, seconds = run(script, folder, args.quick)
            print(f"{script.stem:24s} {'ok' if well else 'FAILED'} {seconds:6.1f} s")
            if not well:
                failed.append(script.stem)
            elif not args.quick:
                # where the picture went is no news to the reader of the page
                lines = [
                    line
                    for line in printed.splitlines()
                    if not line.startswith("picture: ")
                ]
                (folder / f"{script.stem}.txt").write_text("\n".join(lines) + "\n")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
