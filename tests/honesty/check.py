"""
check: whether the tests notice what they say they do.

    check.py BUILD [NAME…]    plants each bug (or those named) in a copy of the sources below BUILD, and runs its tests on it;
                              JOBS bugs at once, each in a copy of its own

Each must fail there, and pass on the copy without a bug. A unit test is stopped at the first of its tests that notices, and
on the copy without a bug behind the last of those; one that hangs has noticed nothing. What is wrong is tried again alone, when
the others have ended: what is right then is called unsteady, and what it said the first time comes behind everything else.
Prints a table, with what each test said; exit code 1 if one is wrong twice, or if a bug was noticed by none because all were
skipped.
"""
import concurrent.futures
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time

import plant

TIMEOUT = 600
PATIENCE = 20  # seconds in which something must come, where a bug is planted
JOBS = int(os.environ.get("JOBS", 2 * os.cpu_count()))  # they wait more than they compute
SKIPPED, TIMED_OUT = 77, 124


def target(test):
    """What a test needs built."""
    path = test.split()[0]
    if path.startswith("unit/"):
        return ["tests/" + path[len("unit/"):]]
    return ["edgereplayd", "edgereplay"] + (["example-client"] if "_examples" in path else [])


def targets(tests):
    return sorted({name for test in tests for name in target(test)})


def command(test, dest):
    path, *words = test.split()
    if path.startswith("unit/"):
        return [os.path.join(plant.build_folder(dest), "tests", path[len("unit/"):])]
    return ["/usr/bin/python3", "-B", os.path.join(dest, "tests", path), *words]


def first_failed(said):
    """The number of the first of a unit test's tests that failed; 0: none."""
    failed = re.search(r"^not ok (\d+)", said, re.MULTILINE)
    return int(failed[1]) if failed else 0


def listen(process, last):
    """What it says, up to the first of a unit test's tests that failed, or the one with number last: then it is ended."""
    said, ended = [], False
    for line in process.stdout:
        said.append(line.decode(errors="replace"))
        if said[-1].startswith("not ok") or said[-1].startswith("ok %d " % last):
            ended = True
            process.terminate()
            break
    process.communicate()
    return "".join(said), ended


def run(test, dest, last=0, **variables):
    """
    Runs it on what is built in the copy, a unit test's tests up to number last (0: all), with these variables in its
    environment: passed, failed, skipped or timed out; what it said; how long it took.
    """
    began = time.monotonic()
    environment = {**os.environ, **variables, "EDGEREPLAY_ROOT": dest, "EDGEREPLAY_BUILD": plant.build_folder(dest),
                   "CK_TAP_LOG_FILE_NAME": "-", "CK_VERBOSITY": "silent", "CK_TIMEOUT_MULTIPLIER": "10"}
    with tempfile.TemporaryDirectory(prefix="honesty.") as folder:
        with subprocess.Popen(["timeout", "-k", "10", str(TIMEOUT), *command(test, dest)], cwd=folder,
                              env={**environment, "TMPDIR": folder}, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            said, ended = listen(process, last)
    if process.returncode == TIMED_OUT or "Test timeout expired" in said:
        result = "timed out"
    elif ended:
        result = "failed" if first_failed(said) else "passed"
    else:
        result = {0: "passed", SKIPPED: "skipped"}.get(process.returncode, "failed")
    return result, said, time.monotonic() - began


def reason(said):
    """Who failed and why: of a unit test the first, else the story and its exception."""
    unit = re.search(r"^not ok \d+ - [^:]*:[^:]*:(\w+): ((?:.|\n(?!ok|not ok))*)", said, re.MULTILINE)
    if unit:
        return "%s: %s" % (unit[1], " ".join(unit[2].split()))
    story = re.search(r"^FAILED  (.*)", said, re.MULTILINE)
    found = re.findall(r"^[\w.]*(?:Error|Missing|Refused|Exception)\b.*(?:\n .*)*", said, re.MULTILINE)
    return "%s: %s" % (story[1] if story else "?", " ".join((found or ["?"])[-1].split()))


def row(name, test, wanted, ran):
    """Its lines of the table; whether it did as it should."""
    result, said, seconds = ran
    good = result in (wanted, "skipped")
    lines = ["%-6s %-36s %-44s %-9s %3.0f s" % ("ok" if good else "WRONG", name, test, result, seconds)]
    if not good:
        lines.append(said[-3000:])
    elif result != "passed":
        lines.append("       " + (said.strip().split("\n")[-1] if result == "skipped" else reason(said))[:180])
    return lines, good


def without_bug(test, dest, last):
    """The lines of the table, and how many are wrong."""
    lines, good = row("(none)", test, "passed", run(test, dest, last))
    return lines, not good


def with_bug(bug, copies, noticed):
    """The same, of a bug in a copy that nobody else uses meanwhile. noticed: the last test of each unit test that notices."""
    dest = copies.get()
    try:
        with plant.planted(dest, [bug.name], targets(bug.tests)):
            ran = [run(test, dest, EDGEREPLAY_PATIENCE=str(PATIENCE)) for test in bug.tests]
    except (LookupError, RuntimeError) as error:
        return ["WRONG  %s cannot be planted: %s" % (bug.name, error)], 1
    finally:
        copies.put(dest)
    for test, (_, said, _) in zip(bug.tests, ran):
        noticed[test] = max(noticed.get(test, 0), first_failed(said))
    rows = [row(bug.name, test, "failed", one) for test, one in zip(bug.tests, ran)]
    lines, wrong = sum((some for some, _ in rows), []), sum(not good for _, good in rows)
    if all(result == "skipped" for result, _, _ in ran):
        lines.append("WRONG  %s: all its tests were skipped" % bug.name)
        wrong += 1
    return lines, wrong


def copies_of(clean):
    """As many as are used at once. They are built once, and copied."""
    copies = queue.SimpleQueue()
    for number in range(JOBS):
        dest = "%s-%d" % (clean, number)
        shutil.rmtree(dest, ignore_errors=True)
        shutil.copytree(clean, dest)
        copies.put(dest)
    return copies


def try_all(tried, clean, copies, noticed):
    """Runs bugs, and tests without a bug, JOBS at once, and prints the lines of what is right; what is wrong, and its lines."""
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        running = {}
        for one in tried:
            if isinstance(one, str):
                running[pool.submit(without_bug, one, clean, noticed.get(one, 0))] = one
            else:
                running[pool.submit(with_bug, one, copies, noticed)] = one
        for ended in concurrent.futures.as_completed(running):
            lines, mistakes = ended.result()
            if mistakes:
                wrong.append((running[ended], lines))
            else:
                print("\n".join(lines), flush=True)
    return wrong


def name_of(one):
    return one if isinstance(one, str) else one.name


def main():
    began = time.monotonic()
    clean = os.path.join(os.path.abspath(sys.argv[1]), "planted")
    bugs = [plant.find(name) for name in sys.argv[2:]] or plant.BUGS
    tests = sorted({test for bug in bugs for test in bug.tests})
    with plant.planted(clean, [], targets(tests)):
        copies, noticed = copies_of(clean), {}
        doubtful = try_all(bugs, clean, copies, noticed) + try_all(tests, clean, copies, noticed)
        print("again, one at a time: %d" % len(doubtful), flush=True)
        wrong, unsteady = [], []
        for one, said in doubtful:
            again = try_all([one], clean, copies, noticed)
            wrong += again
            unsteady += [] if again else [(name_of(one), said)]
    for _, said in wrong:
        print("\n".join(said))
    for name, said in unsteady:
        print("%s, the first time:\n| %s" % (name, "\n".join(said).replace("\n", "\n| ")))
    for one, _ in wrong:
        print("WRONG    %s" % name_of(one))
    for name, _ in unsteady:
        print("unsteady %s" % name)
    print("%d bugs, %d tests, %d wrong, %d unsteady, %d s"
          % (len(bugs), len(tests), len(wrong), len(unsteady), time.monotonic() - began))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
