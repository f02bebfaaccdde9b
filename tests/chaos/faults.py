"""What is done to a pipeline while it runs."""

import os
import signal
import time

import pipeline as processes


class Faults:
    """The plan of a round: at which times what is done to whom."""

    def __init__(self, dice, kinds, seconds):
        self.dice, self.plan, self.done, self.stopped = dice, [], [], []
        self.begun = time.monotonic()
        for kind in kinds:
            self.plan.append((dice.uniform(0.1, seconds * 1.2), kind))
        self.plan.sort()

    def strike(self, pipeline):
        """Does what is due."""
        now = time.monotonic() - self.begun
        while self.plan and self.plan[0][0] <= now:
            self.hit(pipeline, self.plan.pop(0)[1])
        for at, pid in list(self.stopped):
            if now >= at:
                self.stopped.remove((at, pid))
                send(pid, signal.SIGCONT)

    def hit(self, pipeline, kind):
        spared = {None, "sh"} | ({"gremlin"} if kind == "term" else set())
        victims = [pid for pid in processes.descendants(os.getpid())
                   if processes.memory_of(pid)[0] not in spared]
        if kind == "step":
            shift = self.dice.choice(["+3600", "-86400", "+0.25", "-2"])
            (pipeline.base / "clock").write_text(f"{shift}\n")
            self.done.append(f"clock stepped by {shift} s")
            return
        if kind == "fill":
            fill(pipeline.folder)
            self.done.append("disk filled")
            return
        if not victims:
            return
        victim = self.dice.choice(sorted(victims))
        name = processes.memory_of(victim)[0]
        if send(victim, {"kill": signal.SIGKILL, "term": signal.SIGTERM,
                         "stop": signal.SIGSTOP}[kind]):
            at = time.monotonic() - self.begun
            self.done.append(f"{kind} {name} at {at:.2f} s")
            if kind == "stop":
                self.stopped.append((at + self.dice.uniform(0.05, 1.0), victim))


def send(pid, what):
    try:
        os.kill(pid, what)
        return True
    except ProcessLookupError:
        return False


def fill(folder):
    """Takes all room that is left, to the last byte."""
    with open(folder / "filler", "ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
