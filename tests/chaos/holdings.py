"""What a recording holds, read by programs that share no code with the tools.

Records come from the Python implementation of the format, HDF5 files from h5py.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/python"))
import framepipe  # noqa: E402


@dataclass
class Holding:
    """One stream of a recording."""

    seqs: list = field(default_factory=list)
    samples: list = field(default_factory=list)
    gaps: list = field(default_factory=list)

    def numbers(self):
        return np.concatenate(self.seqs) if self.seqs else np.empty(0, "u8")

    def by_number(self):
        """Each sample's bytes, and the numbers that came more than once."""
        found, twice = {}, []
        for number, sample in zip(self.numbers().tolist(), self.samples):
            twice += [number] if number in found else []
            found[number] = sample
        return found, twice

    def explained(self):
        """The numbers that gaps stand for, each with who lost it and why."""
        return {
            number: (stage, reason)
            for first, count, stage, reason in self.gaps
            for number in range(first, first + max(count, 0))
        }


@dataclass
class Recording:
    """The streams of a file by name, and whether their session came to its end: a recording
    that says of itself that a stage broke off claims nothing about what came after."""

    streams: dict = field(default_factory=dict)
    ended: bool = False

    def stream(self, name):
        return self.streams.setdefault(name, Holding())


def read(path):
    return read_h5(path) if str(path).endswith(".h5") else read_frames(path)


def read_frames(path):
    recording, keys, names, open_sessions = Recording(), {}, {}, set()
    seen, broken = set(), set()
    for item in framepipe.read(str(path)):
        if isinstance(item, framepipe.Damage):
            continue
        key = (item.session, item.stream)
        if item.session not in seen:
            seen.add(item.session)
            open_sessions.add(item.session)
        if item.kind == framepipe.STREAM:
            keys[key] = item.message()
            names[key] = keys[key]["name"]
        elif item.kind in (framepipe.DATA, framepipe.BATCH):
            holding = recording.stream(names.get(key, key))
            samples = item.samples(keys.get(key, {"media": "bytes"}))
            holding.seqs.append(samples.seq)
            holding.samples += [bytes(np.asarray(one)) if not isinstance(one, bytes) else one
                                for one in samples.values]
        elif item.kind == framepipe.GAP and not item.stream:
            broken.add(item.session)
        elif item.kind == framepipe.GAP:
            gap = item.message()
            holding = recording.stream(names.get(key, key))
            holding.gaps.append((gap["first"], gap.get("count") or 0,
                                 gap.get("stage", ""), gap["reason"]))
        elif item.kind == framepipe.END:
            open_sessions.discard(item.session)
    recording.ended = bool(seen) and not open_sessions | broken
    return recording


def read_h5(path):
    recording = Recording()
    with h5py.File(path, "r") as file:
        sessions = [name for name in file if name.split("_")[0] == "session"]
        recording.ended = bool(sessions) and all("end" in file[name] for name in sessions)
        numbers = {}
        for group in file["streams"].values():
            name = text(group.attrs["name"])
            numbers[int(group.attrs["session"]), int(group.attrs["stream"])] = name
            holding = recording.stream(name)
            holding.seqs.append(group["seq"][...])
            holding.samples += samples_of(group)
        gaps = file["gaps"]
        columns = "session stream first count stage reason".split()
        for session, stream, first, count, stage, reason in zip(
            *(gaps[name][...].tolist() for name in columns)
        ):
            if not stream:
                recording.ended = False
            else:
                holding = recording.stream(numbers.get((session, stream), stream))
                holding.gaps.append((first, count, text(stage), text(reason)))
    return recording


def samples_of(group):
    data = group["data"][...]
    if "offset" not in group:
        return [row.tobytes() for row in data]
    places = zip(group["offset"][...].tolist(), group["size"][...].tolist())
    return [data[at : at + size].tobytes() for at, size in places]


def text(value):
    return value.decode().rstrip("\0") if isinstance(value, bytes) else str(value)
