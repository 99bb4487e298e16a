"""story: runs a test program's stories, says which failed and why, and leaves nothing running.

    @story
    def a_retry_after_a_lost_answer_is_a_duplicate(): …

    run()
"""
import atexit
import os
import signal
import sys
import tempfile
import traceback

ROOT = os.environ.get("EDGEREPLAY_ROOT") or os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.environ.get("EDGEREPLAY_BUILD") or os.path.join(ROOT, "build/release")
TOOL = os.environ.get("EDGEREPLAY_TOOL") or os.path.join(BUILD, "edgereplay")
SANITIZED = "san" in os.path.basename(BUILD)  # then the longest stories do less
SKIP = 77

stories = []
seed_said = []


def story(function):
    stories.append(function)
    return function


def say(text, *values):
    """A line that tests/run shows."""
    print("# " + text % values, flush=True)


def same(actual, wanted, what="value"):
    if actual != wanted:
        raise AssertionError("%s:\n  got    %.3000r\n  wanted %.3000r" % (what, actual, wanted))


def is_true(condition, text, *values):
    if not condition:
        raise AssertionError(text % values)


def skip(reason):
    """Ends the program as skipped; the last line says why."""
    print(reason, flush=True)
    sys.exit(SKIP)


def seed():
    """The seed of a random story, printed so that a failure can be repeated."""
    value = int(os.environ.get("EDGEREPLAY_SEED", "20261122"))
    if not seed_said:
        say("seed %d (EDGEREPLAY_SEED)", value)
        seed_said.append(True)
    return value


def run():
    """Runs all stories, each in a folder of its own, or those whose names contain a word of the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failed = []
    for function in stories:
        if sys.argv[1:] and not any(word in function.__name__ for word in sys.argv[1:]):
            continue
        name = function.__name__.replace("_", " ")
        os.chdir(tempfile.mkdtemp(prefix="story."))
        try:
            function()
            print("ok      " + name, flush=True)
        except Exception:  # pylint: disable=broad-except
            failed.append(name)
            print("FAILED  " + name, flush=True)
            traceback.print_exc(file=sys.stdout)
            for left in list(cleanups):
                left()
    sys.stdout.flush()
    sys.exit(1 if failed else 0)


cleanups = {}  # what to do for things still running when a story failed or the program ends, in order of their making


@atexit.register
def clean_up():
    for left in list(cleanups):
        left()
