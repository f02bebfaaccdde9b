"""Pipelines of every shape, small enough for a round of two seconds.

A shape starts its processes and names what they record: with which witnesses to compare it,
and whether everything must be in it when nothing was done to the pipeline.
"""

import os
from dataclasses import dataclass
from pathlib import Path

SOURCES = (
    ["glove:rate=400"],
    ["sine:rate=2000,channels=4"],
    ["glove:rate=217", "sine:rate=1000"],
    ["camera:size=64x48,rate=60", "control:rate=50"],
    ["glove:rate=217", "camera:size=32x24,rate=30", "ephys:rate=1500,channels=8"],
)
SECONDS = 1.5


@dataclass
class Output:
    """A recording that a pipeline makes."""

    path: Path
    witnesses: list
    # Drops samples on purpose when it is slow, and says so.
    lossy: bool = False
    # Holds a part only, by the user's wish.
    partial: bool = False
    # Need not be there, nor come to its end.
    optional: bool = False


def source(dice, name="sim-src", streams=None):
    streams = streams or dice.choice(SOURCES)
    return ["sim-src", *streams, "--seed", str(dice.randrange(1000)), "--name", name,
            "--duration", f"{int(SECONDS * 1000)}ms"]


def witness(pipeline, name="sent.frames"):
    """What stands behind a source, and keeps what it sent where no disk is filled."""
    return ["gremlin", "--witness", str(pipeline.base / name)]


def passing(dice):
    """Some stages that keep every sample as it is."""
    stages = (["batch-frames", "-n", "7"], ["batch-frames", "--every", "50ms"],
              ["batch-frames", "--split"], ["pick-frames"])
    return [dice.choice(stages) for _ in range(dice.randrange(3))]


def recorder(dice, name):
    return ["to-h5", name, "--flush", dice.choice(["100ms", "300ms", "1s"])]


def line(pipeline, dice, between):
    """One after another, into HDF5."""
    chain = [source(dice), witness(pipeline), *passing(dice), *between,
             *passing(dice), recorder(dice, "got.h5")]
    pipeline.chain(chain)
    return [Output(pipeline.folder / "got.h5", [pipeline.base / "sent.frames"])]


def file(pipeline, dice, between):
    """One after another, into a file of records."""
    got = pipeline.folder / "got.frames"
    chain = [source(dice), witness(pipeline), *passing(dice), *between,
             ["batch-frames", "--split"]]
    pipeline.chain(chain, stdout=open(got, "wb"))
    return [Output(got, [pipeline.base / "sent.frames"])]


def fan(pipeline, dice, between):
    """To several recorders at once, one of which must not lose anything."""
    slow = f"gremlin --pace {dice.choice([20_000, 200_000])} | to-h5 may.h5 --flush 200ms"
    may = dice.choice([slow, "to-h5 may.h5", "batch-frames -n 3 > may.frames"])
    chain = [source(dice), witness(pipeline), *between,
             ["fan-out", "--must", "main=to-h5 must.h5 --flush 300ms", "--may", f"side={may}",
              "--restart", "0", "--grace", "2s", "--queue", dice.choice(["64KiB", "1MiB"])]]
    got = pipeline.folder / "out.frames"
    pipeline.chain(chain, stdout=open(got, "wb"))
    sent = [pipeline.base / "sent.frames"]
    return [Output(pipeline.folder / "must.h5", sent), Output(got, sent),
            Output(pipeline.folder / "may.h5", sent, lossy=True, optional=True),
            Output(pipeline.folder / "may.frames", sent, lossy=True, optional=True)]


def queue(pipeline, dice, between):
    """Through a queue that spills, drops or waits, before a slow stage."""
    overflow = dice.choice(["block", "drop-oldest", "drop-newest", f"spill:{pipeline.folder}"])
    chain = [source(dice), witness(pipeline), *between,
             ["queue-frames", "--queue", "64KiB", "--overflow", overflow],
             ["gremlin", "--pace", str(dice.choice([50_000, 500_000, 0]))],
             recorder(dice, "got.h5")]
    pipeline.chain(chain)
    return [Output(pipeline.folder / "got.h5", [pipeline.base / "sent.frames"],
                   lossy=overflow.startswith("drop"))]


def merge(pipeline, dice, between):
    """Several sources into one recording."""
    inputs, sent = [], []
    for place in range(dice.randrange(2, 4)):
        fifo = f"in{place}"
        os.mkfifo(pipeline.folder / fifo)
        streams = [f"sine:rate={dice.choice([200, 500])},name=s{place}"]
        # Opened for both, or opening would wait for merge-frames.
        end = os.open(pipeline.folder / fifo, os.O_RDWR)
        pipeline.chain([source(dice, f"source{place}", streams), witness(pipeline, f"sent{place}.frames")],
                       stdout=os.fdopen(end, "wb"))
        inputs.append(fifo)
        sent.append(pipeline.base / f"sent{place}.frames")
    pipeline.chain([["merge-frames", *inputs, "--skew", "100ms"], *between,
                    recorder(dice, "got.h5")])
    return [Output(pipeline.folder / "got.h5", sent)]


def clip(pipeline, dice, between):
    """What is around events, each clip a session of its own."""
    got = pipeline.folder / "got.frames"
    chain = [[*source(dice), "--event", "hit/300ms"], witness(pipeline), *between,
             ["clip-frames", "--on", "hit", "--pre", dice.choice(["50ms", "100ms"]),
              "--post", dice.choice(["50ms", "100ms", "250ms"])]]
    pipeline.chain(chain, stdout=open(got, "wb"))
    return [Output(got, [pipeline.base / "sent.frames"], partial=True)]


SHAPES = {shape.__name__: shape for shape in (line, file, fan, queue, merge, clip)}
