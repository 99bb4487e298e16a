"""
check: whether the tests notice what they say they do.

    check.py BUILD [NAME…]    plants each bug (or those named) in a copy of the sources below BUILD, and runs its tests on it

Each must fail there, and pass on the copy without a bug. Prints a table, with what each test said; exit code 1 if one is wrong.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

import plant

TIMEOUT = 900


def target(test):
    """What a test needs built."""
    path = test.split()[0]
    return ["tests/" + path[len("unit/"):]] if path.startswith("unit/") else ["edgereplayd", "edgereplay"]


def run(test, dest):
    """Runs it on what is built in the copy; its exit code and what it said."""
    path, *words = test.split()
    build = plant.build_folder(dest)
    command = ([os.path.join(build, "tests", path[len("unit/"):])] if path.startswith("unit/") else
               ["/usr/bin/python3", "-B", os.path.join(dest, "tests", path), *words])
    environment = {**os.environ, "EDGEREPLAY_ROOT": dest, "EDGEREPLAY_BUILD": build, "CK_TIMEOUT_MULTIPLIER": "10"}
    with tempfile.TemporaryDirectory(prefix="honesty.") as folder:
        ran = subprocess.run(["timeout", "-k", "10", str(TIMEOUT), *command], cwd=folder,
                             env={**environment, "TMPDIR": folder}, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, check=False)
    return ran.returncode, ran.stdout.decode(errors="replace")


def reason(said):
    """The line that says why it failed: an exception's last, or Check's of an assertion."""
    found = re.findall(r"^(?:[\w.]*(?:Error|Missing|Refused)\b.*|.*:[FE]:.*)$", said, re.MULTILINE)
    return found[-1].strip() if found else "?"


def row(bug, test, dest, wanted):
    """One run, one line of the table; whether it went as it should. 77: it could not be run here."""
    began = time.monotonic()
    code, said = run(test, dest)
    result = "skipped" if code == 77 else "passed" if code == 0 else "failed"
    good = result in (wanted, "skipped")
    print("%-8s %-28s %-56s %-8s %4.0f s" % ("ok" if good else "WRONG", bug, test, result, time.monotonic() - began),
          flush=True)
    if not good:
        print(said[-3000:])
    elif code not in (0, 77):
        print("         " + reason(said)[:160])
    return good


def main():
    dest = os.path.join(os.path.abspath(sys.argv[1]), "planted")
    bugs = [plant.find(name) for name in sys.argv[2:]] or plant.BUGS
    tests = sorted({test for bug in bugs for test in bug.tests})
    plant.plant(None, dest, *sorted({name for test in tests for name in target(test)}))
    wrong = sum(not row("(none)", test, dest, "passed") for test in tests)
    for bug in bugs:
        plant.plant(bug.name, dest, *sorted({name for test in bug.tests for name in target(test)}))
        wrong += sum(not row(bug.name, test, dest, "failed") for test in bug.tests)
    print("%d bugs, %d tests, %d wrong" % (len(bugs), len(tests), wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
