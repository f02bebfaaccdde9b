#!/usr/bin/env python3
"""Make signals with known answers, and check with numpy what thin-frames made of them.

usage: thinning.py make | thin-frames --to RATE --method METHOD | thinning.py METHOD RATE
"""
import fractions
import pathlib
import sys

import numpy as np

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples/python"))
import framepipe

RATE, COUNT, BLOCK = 30_000, 90_000, 480
START, PERIOD = 1_000_000_000, 1e9 / RATE
BUMP, STEP = 1.0, 1.5  # seconds


def signals():
    at = np.arange(COUNT) / RATE
    tone = lambda hertz: np.sin(2 * np.pi * hertz * at)
    bump = np.exp(-(((at - BUMP) / 0.005) ** 2))
    noise = 1000 + np.random.default_rng(1).standard_normal(COUNT)
    columns = [tone(100), tone(395), tone(505), tone(7123), bump, at >= STEP, noise]
    return np.stack(columns, axis=1).astype("f4")


def make():
    values, numbers = signals(), np.arange(COUNT)
    times = START + np.round(numbers * PERIOD).astype("i8")
    keys = {"media": "samples", "dtype": "f32", "shape": [values.shape[1]]}
    clock = {"rate": float(RATE), "bits": 64}
    with framepipe.Writer(sys.stdout.buffer, name="make") as out:
        rig = out.stream("rig", rate=float(RATE), device_clock=clock, **keys)
        for first in range(0, COUNT, BLOCK):
            part = slice(first, first + BLOCK)
            out.batch(rig, values[part], times[part], device_times=numbers[part])


def windows(ratio):  # where each window begins
    count = COUNT * ratio.numerator // ratio.denominator
    return [-(-k * ratio.denominator // ratio.numerator) for k in range(count + 1)]


def of_windows(ratio, make):
    x, begins = signals().astype("f8"), windows(ratio)
    return np.array([make(x[a:b]) for a, b in zip(begins, begins[1:]) if b <= COUNT])


def filtered(ratio, numbers):
    """The samples of these numbers, by a convolution at the common multiple of both rates."""
    up, down = ratio.numerator, ratio.denominator
    reach = int(np.ceil((81 - 7.95) / (2.285 * np.pi * 0.2 / down) / 2))
    taps = np.arange(-reach, reach + 1)
    window = np.kaiser(2 * reach + 3, 0.1102 * (81 - 8.7))[1:-1]
    fir = np.sinc(0.9 * taps / down) * window
    x, made = signals().astype("f8"), []
    for k in numbers:
        first = -((reach - int(k) * down) // up)
        last = (int(k) * down + reach) // up
        inputs = np.arange(first, last + 1)
        weights = fir[inputs * up - int(k) * down + reach]
        made.append(weights @ x[inputs] / weights.sum())
    return np.array(made)


def decibels(made, wanted=np.sqrt(0.5)):
    return 20 * np.log10(np.sqrt(np.mean(made.astype("f8") ** 2)) / wanted)


def peak(at, values):  # of the parabola through the highest three
    top = int(np.argmax(values))
    left, here, right = values[top - 1 : top + 2].astype("f8")
    return at[top] + (left - right) / (left - 2 * here + right) / 2 * (at[1] - at[0])


def check_filter(rig, ratio):
    nyquist, values = RATE * ratio / 2, rig.values
    step = slice(None, None, max(1, len(rig.seq) // 2000))
    error = np.abs(values[step] - filtered(ratio, rig.seq[step]))
    assert (error[:, :6] < 2e-6).all() and (error[:, 6] < 2e-3).all(), error.max(axis=0)
    for column, hertz in enumerate([100, 395, 505, 7123]):
        strength = decibels(values[:, column])
        if hertz <= 0.8 * nyquist: assert abs(strength) < 0.1, (hertz, strength)
        if hertz >= nyquist: assert strength < -80, (hertz, strength)
    at = rig.time / 1e9 - START / 1e9
    assert abs(peak(at, values[:, 4]) - BUMP) < 2e-6, peak(at, values[:, 4])
    above = int(np.argmax(values[:, 5] > 0.5))  # a straight line through the step's middle
    low, high = values[above - 1 : above + 1, 5].astype("f8")
    crossed = at[above - 1] + (0.5 - low) / (high - low) * (at[above] - at[above - 1])
    assert abs(crossed - (STEP - 0.5 / RATE)) < 3e-5, crossed
    settled = np.abs(at - STEP) > 30 / float(RATE * ratio)
    assert (np.abs(values[settled, 5] - (at[settled] > STEP)) < 1e-4).all()
    exact = rig.seq.astype("f8") / float(ratio)
    assert (np.abs(rig.device_time - exact) <= 1).all()
    assert (np.abs(rig.time - START - exact * PERIOD) < 2).all()
    whole = rig.seq % ratio.numerator == 0
    assert (rig.device_time[whole] == rig.seq[whole] // ratio.numerator * ratio.denominator).all()


def check_windows(rig, ratio, method):
    pairs = {"average": 1, "rms": 1, "minmax": 2, "decimate": 1}[method]
    make = {
        "average": lambda x: x.mean(axis=0),
        "rms": lambda x: np.sqrt((x**2).mean(axis=0)),
        "decimate": lambda x: x[0],
        "minmax": lambda x: np.where(
            x.argmin(axis=0) <= x.argmax(axis=0),
            [x.min(axis=0), x.max(axis=0)], [x.max(axis=0), x.min(axis=0)]),
    }[method]
    wanted = of_windows(ratio / pairs, make).reshape(-1, rig.values.shape[1])
    assert (rig.seq == np.arange(len(wanted))).all(), (len(rig.seq), len(wanted))
    exact = method in ("decimate", "minmax")
    assert (np.abs(rig.values - wanted) <= (0 if exact else 1e-4)).all()
    begins = np.array(windows(ratio))[: len(wanted) + 1]
    middle = begins[:-1] if method == "decimate" else (begins[:-1] + begins[1:] - 1) / 2
    assert (rig.device_time == np.floor(middle)).all()
    assert (np.abs(rig.time - START - middle * PERIOD) < 2).all()


def main():
    if sys.argv[1:] == ["make"]: return make()
    method, rate = sys.argv[1], fractions.Fraction(sys.argv[2])
    rig = framepipe.load(sys.stdin.buffer)["rig"]
    assert rig.lost == 0 and abs(rig.keys["rate"] - float(rate)) < 1e-9, vars(rig)
    assert rig.keys["meta"]["thinning_method"] == method
    check = check_filter if method == "filter" else check_windows
    check(rig, rate / RATE, *([] if method == "filter" else [method]))
    print(f"{method}: {len(rig.seq)} samples are as they should be")


if __name__ == "__main__":
    main()
