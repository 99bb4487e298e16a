"""bench_large: 50 000 000 actions in 1 000 000 logs, against an empty store. Some 15 minutes and 12 GB of disk."""
import os
import tempfile

from bench_figures import Figure

LOGS, PER_LOG = 1_000_000, 50
TARGETS = {100: 1.5, 1: 2.5}


def large(bench):
    """
    What a random log costs when the store is large.

    The heads are handed from run to run in a file, so that no run asks the daemon for them.
    """
    logs = 10_000 if bench.short else LOGS
    empty = {actions: [_empty(bench, logs, actions, turn) for turn in range(bench.runs)] for actions in TARGETS}
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder, bench.daemon() as daemon:
        heads = os.path.join(folder, "heads")
        filled = bench.load(daemon, "filling %d logs" % logs, users=logs, actions=PER_LOG, requests=logs, warmup=0,
                            sample=4, heads=heads)
        # What the daemon remembers of the filling is not what it would remember of a store that grew over months.
        daemon.stop()
        size = daemon.stored_bytes()
        daemon.start()
        full = {actions: [_random_logs(bench, daemon, logs, actions, turn, heads=heads, fresh=False)
                          for turn in range(bench.runs)] for actions in TARGETS}
    bench.add("stored bytes per action, %d actions" % filled["actions"], "bytes", size / filled["actions"])
    for actions, target in TARGETS.items():
        before = Figure("CPU per 100 000 actions, random logs, empty store, %d a request" % actions, "s", empty[actions])
        after = Figure("the same, %d actions stored, %d a request" % (filled["actions"], actions), "s", full[actions])
        bench.figures += [before, after]
        bench.add("full store against empty, %d a request" % actions, "×", after.value / before.value, target=target)


def _random_logs(bench, daemon, logs, actions, turn, **options):
    result = bench.load(daemon, "random logs, %d a request, run %d" % (actions, turn + 1), users=logs, actions=actions,
                        order="random", seed=turn + 1, duration=bench.seconds(10), settle=60, **options)
    return result["daemon"]["cpuPer100kActions"]


def _empty(bench, logs, actions, turn):
    """Each run against a store of its own that has none of the logs."""
    with bench.daemon() as daemon:
        return _random_logs(bench, daemon, logs, actions, turn)
