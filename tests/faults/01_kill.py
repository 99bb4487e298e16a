"""
kill -9 at any moment, again and again under load: no acknowledged action is missing, no batch is there by half, and the
daemon is ready again at once. The control is a daemon that acknowledges before it commits: the same judge must catch it.
"""
import support
from support import Missing, plant, story
from support.daemon import Daemon, tool
from support.story import say

KILLS = support.count(50, 1000)
READY_SECONDS = 2


def torture(kills, binary=None, **options):
    """Kills the daemon again and again under load. Raises Missing at the first loss."""
    daemon = Daemon(binary=binary, options=options)
    load, ready, unanswered = support.Load(daemon, 12, story.seed()), support.Times(), 0
    try:
        for kill in range(kills):
            load.start()
            load.await_acknowledged(load.random.randrange(1, 200))
            daemon.kill()
            load.join()
            if binary is None and kill % 10 == 9:
                tool("verify", daemon.dir)  # as the crash left it
            ready.take(daemon.start)
            unanswered += load.judge()
            load.again()
        load.judge_all()
        daemon.stop()
    except Missing:
        if daemon.process.poll() is None:
            daemon.kill()
        raise
    say("%d kills, %d acknowledged actions, all there; %d batches stored but not answered; ready again: %s", kills,
        load.acknowledged, unanswered, ready)
    tool("verify", daemon.dir)
    ready.within(READY_SECONDS, "a restart after a kill")


@story.story
def nothing_acknowledged_is_lost_by_kill_9():
    torture(KILLS, **{"store.shards": 4})


@story.story
def a_small_tail_and_small_slices_survive_as_well():
    torture(support.count(10, 200), **{
        "store.tail_bytes": 65536, "store.slice": 16, "limits.payload_bytes": 1024, "limits.body_bytes": 32768,
        "limits.batch_actions": 20})


@story.story
def the_control_that_acknowledges_too_early_is_caught():
    try:
        torture(50, plant.daemon("acknowledge-before-commit"))
    except Missing as missing:
        say("the control lost what it should lose: %s", missing)
        return
    raise AssertionError("50 kills of a daemon that acknowledges before it commits lost nothing: the story is blind")


story.run()
