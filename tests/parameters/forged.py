"""Parameter files that are consistent, whatever they say."""

import json

import numpy as np

from nengo_dl.parameters.file.header import HEADER, signature_of
from nengo_dl.parameters.file.reading import read_arrays
from nengo_dl.parameters.file.writing import write_arrays


def forge(path, changes, objects=None):
    """Replace or add arrays of a file; header and checksums agree with them.

    ``objects`` changes the description of the network.
    """
    arrays = dict(read_arrays(path)[0])
    about = json.loads(arrays.pop(HEADER).tobytes())
    arrays.update(changes)
    if objects is not None:
        objects(about["objects"])
        about["signature"] = signature_of(about["objects"])

    def summarize(checksums):
        old = about["entries"]
        about["entries"] = {
            name: {
                "dtype": array.dtype.str,
                "shape": list(array.shape),
                "per_item": old.get(name, {}).get("per_item", False),
                "crc32": checksums[name],
            }
            for name, array in arrays.items()
        }
        text = json.dumps(about).encode()
        return {HEADER: np.frombuffer(text, np.uint8)}

    write_arrays(path, arrays, summarize)
