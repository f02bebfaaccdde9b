"""Processes joined by pipes, each of them known, so that any of them can be hit.

A shell would do the joining, but would not tell which process is which stage.
"""

import ctypes
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
# What a stage may have in memory: what is said of it in ARCHITECTURE.md, and its queue.
LIMITS = {"to-h5": 112, "replay": 112, "fan-out": 96, "queue-frames": 64, "merge-frames": 64,
          "clip-frames": 64}
LIMIT = 32
# Not ours: shells and what stands between the stages.
UNLIMITED = {"sh", "bash", "gremlin", "cat", "python3"}
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Whoever loses his parent becomes our child: so nobody gets away."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass
class Stage:
    """A process of the pipeline."""

    name: str
    process: subprocess.Popen
    hit: str = ""


class Pipeline:
    """All processes of a round. They work in `folder`; what is kept of them is in `base`."""

    def __init__(self, base, environment):
        self.base, self.environment = Path(base), environment
        self.folder = self.base / "disk"
        self.stages, self.peaks = [], {}

    def chain(self, commands, stdin=None, stdout=None):
        """Starts commands, each reading what the one before writes."""
        before = stdin
        for place, command in enumerate(commands):
            last = place == len(commands) - 1
            out = stdout if last and stdout else subprocess.PIPE
            if last and not stdout:
                out = subprocess.DEVNULL
            before = self.start(command, before, out)

    def start(self, command, stdin, stdout):
        log = open(self.base / f"{len(self.stages):02}-{command[0]}.log", "wb")
        process = subprocess.Popen(
            command, stdin=stdin or subprocess.DEVNULL, stdout=stdout, stderr=log,
            cwd=self.folder, env=self.environment,
        )
        for used in (stdin, stdout, log):
            if hasattr(used, "close"):
                used.close()
        self.stages.append(Stage(command[0], process))
        return process.stdout

    def log(self, at):
        path = self.base / f"{at:02}-{self.stages[at].name}.log"
        return path.read_text(errors="replace")

    def status(self, at):
        return self.stages[at].process.returncode

    def running(self):
        return [stage for stage in self.stages if stage.process.poll() is None]

    def watch(self):
        """Notes how much memory each process had at the most."""
        for pid in descendants(os.getpid()):
            name, peak = memory_of(pid)
            if name and name not in UNLIMITED:
                self.peaks[name] = max(self.peaks.get(name, 0), peak)

    def over_limit(self):
        return [f"{name} had {peak // MIB} MiB in memory" for name, peak in self.peaks.items()
                if peak > LIMITS.get(name, LIMIT) * MIB]

    def wait(self, seconds, watch):
        """Waits for all to end, calling `watch` meanwhile; those that did not in time."""
        end = time.monotonic() + seconds
        while (running := self.running()) and time.monotonic() < end:
            self.watch()
            watch()
            time.sleep(0.02)
        return running

    def clear(self):
        """Ends what is left, and says what that was.

        Whoever lost the one who fed him may still work off what is in his pipe.
        """
        deadline = time.monotonic() + 30
        while (left := descendants(os.getpid())) and time.monotonic() < deadline:
            reap()
            time.sleep(0.02)
        names = [f"{memory_of(pid)[0]} ({pid})" for pid in left]
        for pid in left:
            # Ours alone: every one of them descends from this process.
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGKILL)
        reap()
        return [name for name in names if not name.startswith("None")]


def reap():
    """Collects children that we did not start, but got."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def descendants(pid):
    """All processes below one, the dead ones that nobody waited for left out."""
    found = []
    for child in children_of(pid):
        if state_of(child) not in ("Z", "X", None):
            found.append(child)
        found += descendants(child)
    return found


def children_of(pid):
    try:
        tasks = [*Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has just ended
        return []
    found = []
    for task in tasks:
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found


def state_of(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return None


def memory_of(pid):
    """A process's name, and the most memory it ever had."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None, 0
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return fields.get("Name", "").strip(), int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
