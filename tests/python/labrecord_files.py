"""What pyxdf and h5py find in recordings: JSON with a list of streams for each file."""

import json
import sys
import warnings

import numpy

warnings.filterwarnings("ignore")


def told(name, kind, rate, values, times):
    numbers = values[:, 0] if len(values) and values.dtype.kind == "f" else numpy.array([])
    return {
        "name": name,
        "type": kind,
        "rate": rate,
        "samples": len(values),
        "first": float(numbers[0]) if len(numbers) else None,
        "steps": sorted(set(numpy.diff(numbers).tolist())),
        "seconds": float(times[-1] - times[0]) if len(times) else 0.0,
    }


def xdf(path):
    import pyxdf

    streams, _ = pyxdf.load_xdf(path, dejitter_timestamps=False)
    for stream in streams:
        info = stream["info"]
        values = stream["time_series"]
        values = numpy.asarray(values) if not isinstance(values, list) else numpy.array(values, dtype=object)
        yield told(info["name"][0], info["type"][0], float(info["nominal_srate"][0]), values, stream["time_stamps"])


def h5(path):
    import h5py

    with h5py.File(path) as file:
        for name, group in file["streams"].items():
            if "data" in group and group["data"].size:
                data = group["data"][()]
                data = data.reshape(len(data), -1)
                yield told(name, "", 0.0, data, group["timestamps"][()])


files = {path: list((h5 if path.endswith(".h5") else xdf)(path)) for path in sys.argv[1:]}
print(json.dumps(files))
