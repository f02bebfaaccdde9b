"""What a recording holds, read by programs that share no code with the tools.

Records come from the Python implementation of the format, HDF5 files from h5py.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import h5py

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/python"))
import framepipe  # noqa: E402

# Why a session ended when a stage that was to pass it on could not.
FAILURE = "failure"


class Gap(NamedTuple):
    """Samples that are told missing, by whom and why."""

    first: int
    count: int
    stage: str
    reason: str


@dataclass
class Holding:
    """One stream of a recording: each sample's bytes by its number."""

    number: int = 0
    samples: dict = field(default_factory=dict)
    twice: list = field(default_factory=list)
    gaps: list = field(default_factory=list)

    def add(self, numbers, samples):
        for number, sample in zip(numbers.tolist(), samples, strict=True):
            if number in self.samples:
                self.twice.append(number)
            self.samples[number] = sample

    def explained(self):
        """The gap that each missing number is in."""
        return {number: gap for gap in self.gaps
                for number in range(gap.first, gap.first + gap.count)}


@dataclass
class Recording:
    """The streams of a file by name, and whether their session came to its end: a recording
    that says of itself that a stage broke off or failed claims nothing about what came after."""

    streams: dict = field(default_factory=dict)
    ended: bool = False

    def stream(self, name, number):
        return self.streams.setdefault(name, Holding(number))


def read(path):
    return read_h5(path) if str(path).endswith(".h5") else read_frames(path)


def read_frames(path):
    recording, described, open_sessions, broken = Recording(), {}, set(), set()
    items = [item for item in framepipe.read(str(path)) if not isinstance(item, framepipe.Damage)]
    for item in items:
        # Samples may come before their description does, where that was damaged.
        if item.kind == framepipe.STREAM:
            described.setdefault((item.session, item.stream), item.message())
    for item in items:
        key = (item.session, item.stream)
        keys = described.get(key, {"media": "bytes", "name": str(key)})
        if item.session not in broken:
            open_sessions.add(item.session)
        if item.kind in (framepipe.DATA, framepipe.BATCH):
            samples = item.samples(keys)
            recording.stream(keys["name"], item.stream).add(samples.seq, map(bytes, samples.values))
        elif item.kind == framepipe.GAP and item.stream:
            recording.stream(keys["name"], item.stream).gaps.append(gap_of(item.message()))
        elif item.kind == framepipe.GAP:
            broken.add(item.session)
        elif item.kind == framepipe.END and item.message()["reason"] != FAILURE:
            open_sessions.discard(item.session)
            recording.ended = True
    recording.ended = recording.ended and not open_sessions | broken
    return recording


def gap_of(message):
    return Gap(message["first"], message.get("count") or 0, message.get("stage", ""),
               message["reason"])


def read_h5(path):
    recording = Recording()
    with h5py.File(path, "r") as file:
        sessions = [name for name in file if name.split("_")[0] == "session"]
        recording.ended = bool(sessions) and all(
            "end" in file[name] and text(file[name].attrs["end_reason"]) != FAILURE
            for name in sessions
        )
        names = {}
        for group in sorted(file["streams"].values(), key=described_first):
            key = int(group.attrs["session"]), int(group.attrs["stream"])
            name = names.setdefault(key, text(group.attrs["name"]))
            recording.stream(name, key[1]).add(group["seq"][...], samples_of(group))
        columns = "session stream first count stage reason".split()
        rows = zip(*(file["gaps"][name][...].tolist() for name in columns))
        for session, stream, first, count, stage, reason in rows:
            if stream:
                gap = Gap(first, max(count, 0), text(stage), text(reason))
                name = names.get((session, stream), str(stream))
                recording.stream(name, stream).gaps.append(gap)
            else:
                recording.ended = False
    return recording


def described_first(group):
    """Samples that came before their description are in a group that has none."""
    return len(group["descriptions/row"]) == 0


def samples_of(group):
    data = group["data"][...]
    if "offset" not in group:
        return [row.tobytes() for row in data]
    places = zip(group["offset"][...].tolist(), group["size"][...].tolist())
    return [data[at : at + size].tobytes() for at, size in places]


def text(value):
    return value.decode().rstrip("\0") if isinstance(value, bytes) else str(value)
