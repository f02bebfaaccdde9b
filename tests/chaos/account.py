"""The account of a round: what was sent against what each recording holds and explains."""

import holdings

# Reasons of gaps by who lost the samples; the others only say that they are missing.
EXPLAINED = {"device", "parser", "queue", "transport", "corrupt"}


def check(sent, path, partial):
    """Faults of one recording, as lines; nothing if every sample is accounted for.

    `sent` are the files that witnesses wrote right behind the sources. What a stream lacks at
    its ends is no fault where the recording itself says that it did not come to its end: then
    nothing of that is claimed.
    """
    if not path.exists():
        return [], {"missing": True}
    recording = holdings.read(path)
    faults, totals = [], {"received": 0, "explained": 0, "unclaimed": 0, "ended": recording.ended}
    truth = {}
    for witness in sent:
        truth.update(holdings.read(witness).streams)
    for name, holding in recording.streams.items():
        original = original_of(name, holding, truth)
        if original is None:
            if holding.samples:
                faults.append(f"{name}: was never sent")
            continue
        found = compare(original, holding, recording, totals, partial)
        faults += [f"{name}: {fault}" for fault in found]
    for name, original in truth.items():
        known = [original_of(*other, truth) for other in recording.streams.items()]
        if original not in known and recording.ended and original.samples and not partial:
            faults.append(f"{name}: is not in the recording")
    return faults, totals


def original_of(name, holding, truth):
    """What was sent of a stream. merge-frames puts an input's name before one that two inputs
    have; and one whose description was damaged has a number only.
    """
    nameless = [other for other in truth.values() if other.number == holding.number]
    return truth.get(name) or truth.get(name.split("/")[-1]) or next(iter(nameless), None)


def compare(original, holding, recording, totals, partial):
    sent, excused = original.samples, original.explained()
    got, twice, explained = holding.samples, holding.twice, holding.explained()
    if twice and not partial:
        yield f"{len(twice)} samples are there twice, the first is {twice[0]}"
    strange = [number for number in got if number not in sent]
    if strange:
        yield f"{len(strange)} samples were never sent, the first is {strange[0]}"
    altered = [number for number in got if number in sent and got[number] != sent[number]]
    if altered:
        yield f"{len(altered)} samples are altered, the first is {altered[0]}"
    both = [number for number in explained if number in got]
    if both:
        yield f"{len(both)} samples came and are told missing, the first is {both[0]}"
    blame = sorted({gap.stage for gap in explained.values() if gap.reason not in EXPLAINED})
    if blame:
        yield f"nobody owns up to losses that {', '.join(blame)} noticed"
    totals["received"] += len(got)
    totals["explained"] += sum(number in sent for number in explained)
    if partial:
        return
    known = {*got, *explained}
    first, last = min(known, default=0), max(known, default=-1)
    lacking = [number for number in sent if number not in known]
    # Only END tells whether there was something before the first, or after the last.
    unclaimed = [number for number in lacking if not first <= number <= last]
    silent = lacking if recording.ended else [*{*lacking} - {*unclaimed}]
    if silent:
        yield f"{len(silent)} samples are missing without a word, the first is {min(silent)}"
    most = max(max(sent, default=-1), max(excused, default=-1))
    invented = [number for number in explained
                if number not in sent and number not in excused and number <= most]
    if invented:
        yield f"{len(invented)} samples are told missing that never were, the first is {invented[0]}"
    totals["unclaimed"] += 0 if recording.ended else len(unclaimed)
