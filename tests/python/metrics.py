"""Checks pages of to-metrics with the official parsers.

    metrics.py TEXT OPENMETRICS INSPECT.json    both pages agree, also with inspect-frames
    metrics.py TEXT NAME                        the page has a stream of this name
"""

import json
import sys

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

# What changes from one scrape to the next.
MOVING = ("framepipe_exporter_", "framepipe_stream_last_sample_age_seconds")


def samples(families):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.startswith(MOVING)
    }


def value(page, name, **labels):
    return page[(name, tuple(sorted(labels.items())))]


def of(page, name):
    return {labels: value for (known, labels), value in page.items() if known == name}


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found}, and inspect-frames says {wanted}")


def check_stream(page, stream):
    name = stream["name"]

    def get(what):
        return value(page, "framepipe_stream_" + what, stream=name)

    expect(f"{name}: samples", get("samples_total"), stream["samples"])
    expect(f"{name}: records", get("records_total"), stream["records"])
    expect(f"{name}: next", get("next_sequence"), stream["next_seq"])
    expect(f"{name}: missing", get("missing_samples"), stream["lost"])
    expect(f"{name}: twice", get("duplicate_samples_total"), stream["duplicates"])
    expect(f"{name}: late", get("reordered_samples_total"), stream["reordered"])
    expect(f"{name}: nominal rate", get("nominal_rate_hertz"), stream["nominal_rate"])
    rate = get("mean_rate_hertz") / stream["measured_rate"] - 1
    if abs(rate) > 1e-9:
        sys.exit(f"{name}: rate is off by {rate}")
    for loss in stream["losses"]:
        # Who reads notices under its own name.
        stage = loss["stage"].replace("inspect-frames", "to-metrics")
        labels = {"stream": name, "stage": stage, "reason": loss["reason"]}
        lost = value(page, "framepipe_stream_lost_samples_total", **labels)
        found = value(page, "framepipe_stream_found_samples_total", **labels)
        expect(f"{labels}", lost - found, loss["samples"])
        partial = value(page, "framepipe_stream_partial_samples_total", **labels)
        expect(f"{labels}, incomplete", partial, loss["partial"])


def quantile(buckets, share):
    """The edges that a quantile lies between."""
    rank, below = share * buckets[-1][1], 0.0
    for edge, count in buckets:
        if count >= rank:
            return below, edge
        below = edge
    return below, float("inf")


def check_stage(page, stage):
    labels = {"stage": stage["stage"], "index": str(stage["index"])}

    def get(what):
        return value(page, "framepipe_stage_" + what, **labels)

    name = stage["stage"]
    expect(f"{name}: in", get("input_samples_total"), stage["samples_in"])
    expect(f"{name}: out", get("output_samples_total"), stage["samples_out"])
    expect(f"{name}: dropped", get("dropped_samples_total"), stage["dropped"])
    expect(f"{name}: cpu", round(get("cpu_seconds_total") * 1e9), stage["cpu_ns"])
    count = sum(n for _, n in stage["latency"])
    expect(f"{name}: hops", get("hop_seconds_count"), count)
    if not count:
        return
    mean = get("hop_seconds_sum") / count
    if not stage["latency"][0][0] / 1e9 <= mean <= stage["latency_max_ns"] / 1e9:
        sys.exit(f"{name}: a mean hop of {mean} s")
    for what, told_as in (("hop", "latency"), ("age", "age")):
        every = of(page, f"framepipe_stage_{what}_seconds_bucket")
        own = [(dict(key), n) for key, n in every.items() if labels.items() <= set(key)]
        buckets = sorted((float(key["le"]), n) for key, n in own)
        for share in (0.5, 0.99):
            low, high = quantile(buckets, share)
            told = stage[f"{told_as}_p{share * 100:.0f}_ns"] or 0
            if not low <= told / 1e9 <= high * 1.0001:
                sys.exit(f"{name}: {what}: {share} in {low} to {high}, told {told} ns")


def agree(text, open_text, report):
    text_page = samples(text_string_to_metric_families(text))
    open_page = samples(openmetrics.text_string_to_metric_families(open_text))
    if text_page != open_page:
        sys.exit(f"the dialects differ: {set(text_page.items()) ^ set(open_page.items())}")
    (session,) = report["sessions"]
    for stream in session["streams"]:
        check_stream(text_page, stream)
    for stage in session["hops"]:
        check_stage(text_page, stage)
    expect("events", sum(of(text_page, "framepipe_events_total").values()), session["events"])
    places = sum(of(text_page, "framepipe_input_damaged_places_total").values())
    # Of what contradicts itself the place is known too.
    damaged = report["input"]["damaged_places"] + report["input"]["malformed_records"]
    expect("damaged places", places, damaged)
    print(len(text_page), "samples")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        agree(read(sys.argv[1]), read(sys.argv[2]), json.loads(read(sys.argv[3])))
    else:
        page = samples(text_string_to_metric_families(read(sys.argv[1])))
        names = {dict(key)["stream"] for key in of(page, "framepipe_stream_samples_total")}
        if names != {sys.argv[2]}:
            sys.exit(f"streams are {names}")
