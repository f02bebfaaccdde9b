"""Run pipelines, do them harm, and account for every sample.

Seeded: a round that failed is run again by `--seed N --rounds 1`, with N as it was printed.
What the stages did is then in the folder that is named.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

import account
import pipeline as processes
from faults import Faults
from shapes import SECONDS, SHAPES

KINDS = ["nothing", "kill", "kill", "stop", "term", "flip", "flip", "slow", "fill", "step"]
# What can keep a recording from its end; all else must not.
HARD = {"kill", "flip", "fill", "steal"}
# Seconds after which a pipeline hangs.
PATIENCE = 40


def options():
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--duration", help="go on for so long instead, like 90s, 30m or 8h")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time")
    parser.add_argument("--shape", choices=[*SHAPES], help="only this one")
    parser.add_argument("--fault", choices=[*dict.fromkeys(KINDS), "steal"],
                        help="only this one; 'steal' must make every round fail")
    parser.add_argument("--keep", action="store_true", help="keep the folders of good rounds")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each round")
    return parser.parse_args()


def seconds_of(text):
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def one_round(task):
    """Runs the round of a seed; what came of it."""
    seed, only, fault, keep = task
    processes.adopt_orphans()
    dice = random.Random(seed)
    shape = dice.choice([*SHAPES])
    kinds = dice.sample(KINDS, dice.choice([1, 1, 1, 2]))
    shape, kinds = only or shape, [fault] if fault else kinds
    base = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
    disk = base / "disk"
    disk.mkdir()
    mounted = "fill" in kinds and mount(disk)
    try:
        result = play(seed, shape, kinds, base, dice, mounted)
    except Exception:  # a round that cannot be told is a fault of its own
        result = {"faults": [f"the round itself failed: {traceback.format_exc()}"], "done": []}
    keep = keep or bool(result["faults"])
    if mounted:
        if keep:
            shutil.copytree(disk, base / "kept", ignore=shutil.ignore_patterns("in?"))
        subprocess.run(["umount", disk], check=False)
    if not keep:
        shutil.rmtree(base, ignore_errors=True)
    return {"seed": seed, "shape": shape, "kinds": kinds, "folder": str(base)} | result


def mount(folder):
    """A small disk; without the right to mount one, the round is one without that fault."""
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def play(seed, shape, kinds, base, dice, mounted):
    environment = os.environ | clock_of(base, "step" in kinds)
    pipeline = processes.Pipeline(base, environment)
    between = []
    if "flip" in kinds:
        flips = ["--flip", str(dice.choice([5_000, 50_000, 500_000])), "--seed", str(seed)]
        between.append(["gremlin", *flips])
    if "steal" in kinds:
        between.append(["gremlin", "--steal", "2"])
    if "slow" in kinds:
        between.append(["gremlin", "--pace", str(dice.choice([100_000, 400_000]))])
    outputs = SHAPES[shape](pipeline, dice, between)
    acts = [kind for kind in kinds if kind in ("kill", "stop", "term", "step")]
    acts += ["fill"] * mounted
    faults = Faults(dice, acts, SECONDS)
    hung = pipeline.wait(PATIENCE, lambda: faults.strike(pipeline))
    found = [f"{stage.name} hangs" for stage in hung]
    found += [f"{name} was left behind" for name in pipeline.clear() if not hung]
    found += pipeline.over_limit()
    (pipeline.folder / "filler").unlink(missing_ok=True)
    totals = Counter()
    for output in outputs:
        faults_of, sums = settle(output, environment)
        if not HARD & {*kinds} and not output.optional and not sums.get("ended"):
            faults_of.append("did not come to its end")
        found += [f"{output.path.name}: {fault}" for fault in faults_of]
        totals.update({key: int(value) for key, value in sums.items()})
    found += untold(kinds, pipeline, outputs)
    return {"faults": found, "done": faults.done, "totals": dict(totals)}


def clock_of(base, stepped):
    """A wall clock of the round's own, which can be set; nothing else shows it."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if not stepped or not library:
        return {}
    (base / "clock").write_text("+0\n")
    return {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(base / "clock"),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def settle(output, environment):
    """Repairs a recording that broke off, and takes its account."""
    if Path(f"{output.path}.journal").exists():
        repair = subprocess.run(["repair-frames", output.path], env=environment,
                                capture_output=True, text=True, check=False)
        if repair.returncode not in (0, 3):
            return [f"repair: {repair.returncode}: {repair.stderr.strip()}"], {}
    return account.check(output.witnesses, output.path, output.partial)


def untold(kinds, pipeline, outputs):
    """Faults in how the stages ended: one that could not start, or that failed unharmed."""
    good = (0, 3) if any(output.lossy for output in outputs) else (0,)
    for at, stage in enumerate(pipeline.stages):
        status, log = pipeline.status(at), pipeline.log(at).strip()
        if status == 2 or "panicked" in log or not HARD & {*kinds} and status not in good:
            yield f"{stage.name} exited with {status}: {log}"


def seeds(args, free):
    """The rounds' seeds, each when there is a free place for it."""
    rounds = itertools.count(args.seed)
    end = None
    if args.duration:
        end = time.monotonic() + seconds_of(args.duration)
    else:
        rounds = itertools.islice(rounds, args.rounds)
    for seed in rounds:
        free.acquire()
        if end and time.monotonic() >= end:
            return
        yield seed


def main():
    args = options()
    # A pool takes all tasks that it is offered, and would work them off after the time is up.
    free = threading.Semaphore(args.jobs)
    tasks = ((seed, args.shape, args.fault, args.keep) for seed in seeds(args, free))
    rounds, failed, sums, shapes = 0, 0, Counter(), Counter()
    with multiprocessing.Pool(args.jobs, maxtasksperchild=20) as pool:
        for result in pool.imap_unordered(one_round, tasks):
            free.release()
            rounds += 1
            failed += bool(result["faults"])
            sums.update(result.get("totals", {}))
            shapes.update([result["shape"], *result["kinds"]])
            if result["faults"] or args.verbose:
                print(json.dumps(result), flush=True)
    print(f"chaos: {rounds} rounds, {failed} failed; {sums['received']} samples received, "
          f"{sums['explained']} explained, {sums['unclaimed']} beyond where a recording broke off")
    print("chaos: " + ", ".join(f"{name} {n}" for name, n in sorted(shapes.items())))
    sys.exit(failed > 0)


main()
