"""Compares two recordings in HDF5: every dataset but those that later stages add to.

Prints how many datasets are identical; exits with 1 if one is not."""

import sys

import h5py


def datasets(path):
    found = {}

    def note(name, node):
        if isinstance(node, h5py.Dataset):
            found[name] = node[()]

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def main():
    one, two = (datasets(path) for path in sys.argv[1:3])
    # The stages between the two add themselves to the session, and what they did.
    added = ("session/payload", "stats/")
    names = [name for name in {**one, **two} if not name.startswith(added)]
    bad = []
    for name in names:
        a, b = one.get(name), two.get(name)
        if a is None or b is None or a.dtype != b.dtype or a.shape != b.shape:
            bad.append(name)
        elif a.tobytes() != b.tobytes():
            bad.append(name)
    print(len(names) - len(bad), "identical;", "different:", bad)
    return 1 if bad or len(names) < 10 else 0


sys.exit(main())
