#!/usr/bin/python3
"""
bench: the standard matrix of load against fresh daemons and, in the same run, the limits of this machine.

    bench.py BUILD [--short] [--only=NAME,…] [--large] [--dir=DIR] [--json=FILE]

BUILD has edgereplayd, edgereplay-load and edgereplay-limits. A whole run takes under 20 minutes and writes RESULTS.md
beside this file. --short takes seconds where the whole takes minutes, to see whether everything runs; --only runs some
scenarios; neither writes RESULTS.md. --large is the store with 50 000 000 actions, alone. --dir is where the data goes:
BUILD otherwise, which is rarely in memory. --json keeps every run's own result. The exit code is 1 when a scenario
failed; a missed target fails nothing.
"""
import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import bench_large  # noqa: E402
from bench_figures import lines_for_terminal, results  # noqa: E402
from bench_scenarios import SCENARIOS, Bench, limit_rows  # noqa: E402
from bench_tools import Failed, machine  # noqa: E402

HERE = os.path.dirname(os.path.realpath(__file__))
PROGRAMS = ("edgereplayd", "edgereplay-load", "edgereplay-limits")


def arguments():
    names = [scenario.__name__ for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(description="Load and limits, beside each other.")
    parser.add_argument("build", help="folder with " + ", ".join(PROGRAMS))
    parser.add_argument("--short", action="store_true", help="one short run of each; figures mean little")
    parser.add_argument("--only", default="", help="some of: " + ", ".join(names))
    parser.add_argument("--large", action="store_true", help="50 000 000 actions in 1 000 000 logs: 12 GB, 15 minutes")
    parser.add_argument("--dir", help="folder for the data (default: BUILD)")
    parser.add_argument("--json", help="file for everything that was measured")
    chosen = parser.parse_args()
    chosen.only = [name for name in chosen.only.split(",") if name]
    for name in chosen.only:
        if name not in names:
            parser.error("%s is none of %s" % (name, ", ".join(names)))
    for program in PROGRAMS:
        if not os.access(os.path.join(chosen.build, program), os.X_OK):
            parser.error("%s/%s is missing: make it first" % (chosen.build, program))
    return chosen


def raise_descriptors():
    """Each waiter is one in the daemon and one in the load tool; both inherit this."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(bench, scenarios):
    """The scenarios that failed, as (name, why)."""
    failures = []
    for scenario in scenarios:
        began, before = time.monotonic(), len(bench.figures)
        print("%s: %s" % (scenario.__name__, scenario.__doc__.strip().split("\n")[0]), flush=True)
        try:
            scenario(bench)
        except (Failed, KeyError, TypeError, ZeroDivisionError) as failure:
            failures.append((scenario.__name__, str(failure) or repr(failure)))
            print("  FAILED: " + failures[-1][1], flush=True)
        for line in lines_for_terminal(bench.figures[before:]):
            print(line)
        print("  (%.0f s)" % (time.monotonic() - began), flush=True)
    return failures


def main():
    chosen = arguments()
    raise_descriptors()
    scenarios = [scenario for scenario in SCENARIOS if not chosen.only or scenario.__name__ in chosen.only]
    if chosen.large:
        scenarios = [bench_large.large]
    began = time.monotonic()
    folder = tempfile.mkdtemp(prefix="bench.", dir=chosen.dir or chosen.build)
    try:
        facts = machine(HERE, folder)
        bench = Bench(chosen.build, folder, chosen.short)
        failures = run(bench, scenarios)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = limit_rows(bench)
    print("limits:\n" + "\n".join(lines_for_terminal(rows)))
    missed = [figure.name for figure in bench.figures if figure.met is False]
    print("%d figures, %d targets missed, %d scenarios failed, %.0f s" % (
        len(bench.figures), len(missed), len(failures), time.monotonic() - began))
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump({"machine": dict(facts), "failures": failures, "runs": bench.raw,
                       "figures": [figure.raw() for figure in bench.figures],
                       "limits": [figure.raw() for figure in rows]}, file, indent=1)
    if not (chosen.short or chosen.only or chosen.large):
        with open(os.path.join(HERE, "RESULTS.md"), "w") as file:
            file.write(results(facts, bench.figures, rows, failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
