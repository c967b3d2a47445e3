# SPDX-License-Identifier: BSD-2-Clause
"""`make mutate`: mutants of gateware and host, and how many of them the tests see.

What was tried is kept by the sources' contents, so a run that was ended goes on where it was.
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Queue

from mixpe.progress import Progress
from mixpe.terminal import table
from tests.mutation.argued import ARGUED
from tests.mutation.mutants import mutants_of
from tests.mutation.targets import GROUPS, WIDER
from tests.mutation.trial import ROOT, Tree

SEED    = 1
SHARE   = 0.95   # that must be seen
NARROW_S, WIDE_S = 900, 3600
RESULTS = ROOT/"tests"/"mutation"/"results.json"


def drawn(group):
    """Mutants of a group: list of (path, digest of the file, Mutant)."""
    found = []
    for pattern in group.sources:
        paths = sorted(ROOT.glob(pattern))
        if not paths:
            raise SystemExit(f"there is no {pattern}")
        for path in paths:
            text   = path.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            found += [(str(path.relative_to(ROOT)), digest, mutant) for mutant in mutants_of(text)]
    return random.Random(SEED).sample(found, min(group.count, len(found)))


def key_of(path, digest, mutant):
    return f"{path}:{mutant.line}:{mutant.start}:{mutant.kind}:{mutant.after[:40]}:{digest}"


def argument(path, mutant):
    """Why no test can see a mutant, or None."""
    line = (ROOT/path).read_text(encoding="utf-8").splitlines()[mutant.line - 1].strip()
    return ARGUED.get((path, line, mutant.before, mutant.after))


def try_all(work, jobs, wide, known, results):
    """Try mutants, and keep what became of each in `known` and in a file."""
    trees = Queue()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool, \
            Progress("mutants", len(work), "") as bar:
        for number in range(jobs):
            trees.put(Tree(Path(folder)/str(number)))
        for name in sorted({each[0] for each in work}):  # else each mutant would be seen
            red = trees.queue[0].test(GROUPS[name].tests, NARROW_S)
            if red:
                raise SystemExit(f"group {name}: without a mutant {red} is red")

        def one(name, path, digest, mutant):
            tree = trees.get()
            try:
                stages = [(GROUPS[name].tests, NARROW_S)]
                if wide:
                    stages.append((WIDER[path.partition("/")[0]], WIDE_S))
                red, seconds = tree.try_mutant(path, mutant, stages)
                tree.clean()
            finally:
                trees.put(tree)
            return key_of(path, digest, mutant), {"group": name, "path": path, "line": mutant.line,
                "kind": mutant.kind, "before": mutant.before, "after": mutant.after, "red": red, "wide": wide,
                "seconds": round(seconds, 1)}

        for done in as_completed([pool.submit(one, *each) for each in work]):
            key, found = done.result()
            known[key] = found
            results.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            bar.advance(1)


def show(known, wanted):
    """A line a group, and each mutant that lives; gives the share that is seen."""
    rows, lives, total = [], [], Counter()
    for name, mutants in wanted.items():
        count = Counter()
        for path, digest, mutant in mutants:
            found = known.get(key_of(path, digest, mutant))
            if found is None:
                continue
            kind = "seen" if found["red"] else "argued" if argument(path, mutant) else "lives"
            count[kind] += 1
            if not found["red"]:
                lives.append((path, mutant, argument(path, mutant)))
        total += count
        rows.append((name, *map(str, (sum(count.values()), count["seen"], count["argued"], count["lives"]))))
    print(table(["group", "mutants", "seen", "argued", "live"], rows, "lrrrr"))
    for path, mutant, text in lives:
        print(f"{path}:{mutant.line}: {mutant.kind}: {mutant.before!r} -> {mutant.after!r}"
              + (f"\n    {text}" if text else ""))
    tried = total["seen"] + total["argued"] + total["lives"]
    share = (total["seen"] + total["argued"])/tried if tried else 0.0
    print(f"{tried} mutants, {total['seen']} seen by a test, {total['argued']} that change nothing, "
          f"{total['lives']} that live: {100*share:.1f} %")
    return share


def main(words=None):
    """Exit status 1 if less than `SHARE` is seen."""
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"default all: {', '.join(GROUPS)}")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--count", type=int, help="mutants of each group at most")
    parser.add_argument("--narrow", action="store_true", help="a group's own tests alone")
    parser.add_argument("--show", action="store_true", help="what is known, without trying any")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(words)
    unknown = set(args.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    known  = json.loads(args.results.read_text(encoding="utf-8")) if args.results.exists() else {}
    wanted = {name: drawn(GROUPS[name])[:args.count] for name in args.groups or GROUPS}
    if not args.show:
        def is_done(each):
            found = known.get(key_of(*each))
            return found is not None and (found["red"] or found["wide"] or args.narrow)
        work = [(name, *each) for name, mutants in wanted.items() for each in mutants if not is_done(each)]
        try_all(work, args.jobs, not args.narrow, known, args.results)
    return 0 if show(known, wanted) >= SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
