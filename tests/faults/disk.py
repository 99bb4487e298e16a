"""disk: file systems of a story's own, and a writer that knows what a daemon says whose disk does not work."""
import atexit
import os
import subprocess

import support
from support import raw, story
from support.story import is_true


class Unavailable(OSError):
    """The daemon says that its storage does not work: nothing is acknowledged, and the batch is to be sent again."""


class Client(raw.Client):
    def post(self, target, document, **headers):
        answer = super().post(target, document, **headers)
        if answer.status == 503 and answer.json()["code"] == "STORAGE_UNAVAILABLE":
            raise Unavailable(answer.body)
        return answer


class Writer(support.Writer):
    """A writer whose thread ends when the daemon's storage does not work."""

    def __init__(self, log, address, seed=0, history=None, gate=None):
        super().__init__(log, address, seed, history, gate)
        self.client = Client(address)

    def next(self, address, seed):
        return Writer(self.log, address, seed, self, self.gate)


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.returncode == 0, (result.stdout + result.stderr).strip()


def preload(name):
    """The environment of a daemon under the library that is made of name.c, in this folder."""
    library = os.path.abspath(name + ".so")
    good, message = run(os.environ.get("CC", "gcc"), "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library,
                        os.path.join(story.ROOT, "tests/faults", name + ".c"))
    is_true(good, "%s", message)
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


def liar():
    """The environment of a daemon whose disk says that it keeps what it does not."""
    return preload("liar")


class Mount:
    """A file system on a folder, while it is mounted."""

    def __init__(self, folder, *options):
        self.folder, self.options, self.mounted = folder, options, False
        os.makedirs(folder, exist_ok=True)
        atexit.register(self.unmount)
        self.mount()

    def mount(self):
        """Where the machine does not allow it the story's program is skipped."""
        good, message = run("mount", *self.options, self.folder)
        if not good:
            story.skip("skipped: cannot mount (%s): %s" % (" ".join(self.options), message))
        self.mounted = True

    def unmount(self):
        """Also one whose files are still open: a story that failed leaves nothing behind."""
        if self.mounted:
            good, message = run("umount", self.folder)
            if not good:
                good, message = run("umount", "-l", self.folder)
            is_true(good, "umount: %s", message)
        self.mounted = False

    def grow(self, size):
        good, message = run("mount", "-o", "remount,size=%d" % size, self.folder)
        is_true(good, "remount: %s", message)
