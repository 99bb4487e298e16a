"""
plant: the daemon with a bug in it, so that a test can show that it would notice.

    plant.py NAME DEST    copies the sources to DEST, plants the bug, builds the daemon: DEST/build/edgereplayd

The edit must match exactly once, else nothing is built: a bug that has moved away is no control any more. A copy is used
again: what differs from the sources (the bug before) is put right, so that only what an edit touches is built anew. The
copies have the fail points, too.
"""
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile

from bugs import BUGS

ROOT = os.environ.get("EDGEREPLAY_ROOT") or os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
PARTS = ("Makefile", "config", "docs", "loadtest", "schema", "server", "tests")
FLAGS = ["OPTIMISE=-O1", "HARDEN=", "SANITIZE=", "LDFLAGS=", "CFLAGS=-DEDGEREPLAY_FAIL_POINTS -Wno-error"]


def find(name):
    found = [bug for bug in BUGS if bug.name == name]
    if not found:
        raise LookupError("no bug %r; there are: %s" % (name, ", ".join(bug.name for bug in BUGS)))
    return found[0]


def files(root):
    """The files of the parts, as paths below root."""
    for part in PARTS:
        if os.path.isfile(os.path.join(root, part)):
            yield part
        for folder, folders, names in os.walk(os.path.join(root, part)):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), root)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def copy(dest):
    """Makes dest a copy of the sources; leaves what is one alone, and what was built."""
    wanted = set(files(ROOT))
    for path in set(files(dest)) - wanted:
        os.remove(os.path.join(dest, path))
    for path in wanted:
        source, target = os.path.join(ROOT, path), os.path.join(dest, path)
        if not os.path.isfile(target) or read(source) != read(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)


def edit(bug, dest):
    path = os.path.join(dest, bug.file)
    text = read(path).decode()
    if text.count(bug.old) != 1:
        raise LookupError("bug %s: its old text is %d times in %s, and must be there once" % (
            bug.name, text.count(bug.old), bug.file))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(bug.old, bug.new))


def build_folder(dest):
    return os.path.join(dest, "build")


def build(dest, *targets):
    """Builds targets (edgereplayd, tests/store_shard, …) in the copy. Nothing built names the folder, which may be copied."""
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
    made = subprocess.run(["make", "-C", dest, "-j%d" % os.cpu_count(), "BUILD=build", *FLAGS,
                           *("build/" + target for target in targets)],
                          env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if made.returncode != 0:
        raise RuntimeError("make in %s failed:\n%s" % (dest, made.stdout[-4000:]))


@contextlib.contextmanager
def planted(dest, names, targets):
    """The copy with these bugs, and what was asked for built in it. Meanwhile nobody else plants there."""
    bugs = [find(name) for name in names]
    os.makedirs(dest, exist_ok=True)
    with open(os.path.join(dest, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        copy(dest)
        for bug in bugs:
            edit(bug, dest)
        build(dest, *targets)
        yield build_folder(dest)


def daemon(*names):
    """The path of a daemon with these bugs, for a control in a story."""
    dest = os.path.join(os.environ.get("EDGEREPLAY_BUILD") or os.path.join(ROOT, "build/release"), "planted")
    with planted(dest, names, ["edgereplayd"]) as folder:
        return shutil.copy2(os.path.join(folder, "edgereplayd"), tempfile.mkdtemp(prefix="planted."))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with planted(os.path.abspath(sys.argv[2]), [sys.argv[1]], ["edgereplayd"]):
        pass
