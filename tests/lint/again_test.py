"""again_test: what tests/run calls unsteady, with tests that fail once and then do something else."""
import os
import subprocess
import sys
import tempfile

RUN = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../run")

# what it says and how it ends at first, how it ends then, the exit code of all, how often it was begun
CASES = [
    ("", 1, 0, 0, 2),
    ("", 1, 1, 1, 2),
    ("", 1, 77, 1, 2),
    ("", 124, 0, 1, 1),
    ("WARNING: ThreadSanitizer: data race", 99, 0, 1, 1),
    ('event="check failed" condition=(size > 0)', 1, 0, 1, 1),
    ("Received signal 11 (Segmentation fault)", 1, 0, 1, 1),
]


def judge(said, first, then, wanted, begun):
    with tempfile.TemporaryDirectory() as folder:
        count, test, good = (os.path.join(folder, name) for name in ("count", "test", "good"))
        for path, text in ((test, "echo >> %s; [ $(wc -l < %s) = 1 ] || exit %d; echo '%s'; exit %d\n" % (count, count, then, said, first)),
                           (good, "exit 0\n")):
            with open(path, "w", encoding="utf-8") as file:
                file.write("#!/bin/bash\n" + text)
            os.chmod(path, 0o755)
        code = subprocess.run([RUN, folder, test, good], env={**os.environ, "AGAIN": "1", "TMPDIR": folder}, check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        with open(count, encoding="utf-8") as file:
            return (code, len(file.readlines())) == (wanted, begun)


wrong = [case for case in CASES if not judge(*case)]
for case in wrong:
    print("again_test: %r: not so" % (case,))
sys.exit(1 if wrong else 0)
