"""bench_scenarios: the standard matrix, a function a scenario. Each measures against fresh daemons and adds figures."""
import os
import time

from bench_figures import Figure
from bench_tools import JSON_PAYLOAD_BYTES, PAYLOAD_BYTES, Daemon, Failed, limit, load, load_beside

SIZES = (100, 10, 1)  # actions a request
CPU_TARGET = {100: 0.30, 10: 0.48, 1: 2.0}  # seconds for 100 000 actions
THROUGHPUT_TARGET = {100: 280_000, 10: 150_000, 1: 35_000}
GOODPUT_TARGET = {100: 70, 10: 35, 1: 35}  # percent of the throughput without overload
P99_TARGET_MS, BACK_TARGET_SEC = 5, 5
ACCEPTED_TARGET_MS, REFUSED_TARGET_MS = 1000, 50
MEMORY_TARGET_MIB, STORED_TARGET = 96, 190
LOGS_TARGET, REPLAY_TARGET = 1.5, 1_000_000

REPLAY_BATCH, REPLAY_BATCHES = 1000, 1000
OVERLOAD_CONNECTIONS = 2000
WAITERS, WAITERS_CONNECTIONS = 10_000, 10_500
SUBSCRIBERS, IDLE_SUBSCRIBERS, SUBSCRIBERS_RATE = 1000, 10_000, 5000
WAITERS_MEMORY_MB, WAITERS_CPU_TARGET, EVENT_TARGET_MS = 150, 2, 5
MIB = 1024 * 1024


class Bench:
    """What the scenarios share: where to measure, how long, and what was found so far."""

    def __init__(self, build, folder, short):
        self.build, self.folder, self.short = build, folder, short
        self.runs = 1 if short else 3
        self.figures, self.limit_figures = [], []
        self.raw = []
        self.limits = {}  # (kind, …) -> values, a run each
        self.capacities = {}  # actions a request -> actions a second
        self.cpus = {}  # actions a request -> CPU seconds for 100 000, 64 logs

    # --- the programs ---

    def seconds(self, seconds):
        return min(seconds, 1.5) if self.short else seconds

    def daemon(self, **options):
        names = {name.replace("__", "."): value for name, value in options.items()}
        return Daemon(os.path.join(self.build, "edgereplayd"), self.folder, names)

    def load(self, daemon, what, **options):
        options.setdefault("warmup", self.seconds(2))
        result = load(self.build, daemon, **options)
        self.keep(what, result)
        return result

    def keep(self, what, result):
        self.raw.append({"run": what, "result": result})
        said = "%s: %d requests/s, %d actions/s" % (what, result["requestsPerSecond"], result["actionsPerSecond"])
        if result.get("latencyMs") and result["latencyMs"].get("p99") is not None:
            said += ", p99 %.2f ms" % result["latencyMs"]["p99"]
        if result.get("daemon"):
            said += ", CPU %.3f s per 100 000" % (result["daemon"].get("cpuPer100kActions") or 0)
        print("    " + said, flush=True)

    def measure_limit(self, key, name, figure, **options):
        """One of edgereplay-limits' figures, added to those of the same key."""
        found = limit(self.build, name, **options)
        self.raw.append({"limit": name, "options": options, "result": found})
        self.limits.setdefault(key, []).append(found[figure])
        return found

    # --- the floor ---

    def median_limit(self, *key):
        values = sorted(self.limits.get(key, []))
        return values[len(values) // 2] if values else None

    def floor_usec(self, actions, logs):
        """CPU of an action: its share of a request, its hashes, its rows. None when one of them was not measured."""
        parts = [self.median_limit("http", actions), self.median_limit("hash"),
                 self.median_limit("insert", logs, actions)]
        return None if None in parts else parts[0] / actions + parts[1] + parts[2]

    def measure_floor(self, actions, logs):
        self.measure_limit(("http", actions), "http", "cpuPerRequestUs", actions=actions, payload=PAYLOAD_BYTES,
                           suspend=True, duration=round(self.seconds(2) + 0.5))
        rows = 100_000 if self.short else 100 * actions * logs if actions * logs >= 100_000 else 1_000_000
        self.measure_limit(("insert", logs, actions), "insert", "cpuPerActionUs", actions=actions, logs=logs,
                                   rows=min(rows, 3_000_000), payload=PAYLOAD_BYTES, dir=self.folder)
        self.measure_limit(("hash",), "hash", "cpuPerActionUs", payload=PAYLOAD_BYTES)

    # --- what was found ---

    def add(self, *figure, **details):
        self.figures.append(Figure(*figure, **details))

    def capacity(self, actions):
        """Actions a second in a closed loop of 64 connections and logs; measured now if no scenario has."""
        if actions not in self.capacities:
            with self.daemon() as daemon:
                result = self.load(daemon, "capacity, %d a request" % actions, actions=actions,
                                   duration=self.seconds(4), settle=0)
            self.capacities[actions] = result["actionsPerSecond"]
        return self.capacities[actions]


def _rounds(bench, logs, seconds, **options):
    """Runs of all sizes by turns, the floors among them; size -> results."""
    results = {actions: [] for actions in SIZES}
    for turn in range(bench.runs):
        for actions in SIZES:
            with bench.daemon() as daemon:
                results[actions].append(bench.load(daemon, "%d logs, %d a request, run %d" % (logs, actions, turn + 1),
                                                   users=logs, actions=actions, duration=bench.seconds(seconds),
                                                   **options))
            if logs <= 10_000:
                bench.measure_floor(actions, logs)
    return results


def _each(results, *path):
    values = []
    for result in results:
        for name in path:
            result = result[name]
        values.append(result)
    return values


def matrix(bench):
    """1, 10 and 100 actions a request, 64 connections, 64 logs."""
    cores = len(os.sched_getaffinity(0))
    found = _rounds(bench, 64, 8)
    for actions, results in found.items():
        floor = bench.floor_usec(actions, 64)
        bench.add("CPU per 100 000 actions, %d a request" % actions, "s", _each(results, "daemon", "cpuPer100kActions"),
                  target=CPU_TARGET[actions], limit=floor / 10)
        bench.cpus[actions] = bench.figures[-1].value
    for actions, results in found.items():
        own = min(_each(results, "load", "cpuPer100kActions")) * 10
        bench.add("throughput, %d a request" % actions, "actions/s", _each(results, "actionsPerSecond"),
                  target=THROUGHPUT_TARGET[actions], sense=">=", limit=cores * 1e6 / (bench.floor_usec(actions, 64) + own))
        bench.capacities[actions] = bench.figures[-1].value
    for actions, results in found.items():
        bench.add("bytes written per action, %d a request" % actions, "bytes",
                  _each(results, "daemon", "writeBytesPerAction"))
    peak = max(max(_each(results, "daemon", "peakMemoryBytes")) for results in found.values())
    bench.add("peak memory at full load", "MiB", peak / MIB, target=MEMORY_TARGET_MIB)


def stored(bench):
    """Bytes on the disk after a clean stop, for an action of 120 bytes: of JSON as phones send it, and of content."""
    readings = (("JSON", JSON_PAYLOAD_BYTES, STORED_TARGET), ("content", PAYLOAD_BYTES, None))
    rows = 100_000 if bench.short else 400_000
    for reading, payload, target in readings:
        for actions in SIZES:
            with bench.daemon() as daemon:
                result = bench.load(daemon, "stored, %d a request, %s" % (actions, reading), actions=actions,
                                    requests=rows // actions, warmup=0, sample=0, action_bytes=payload + 24)
                daemon.stop()
                each = daemon.stored_bytes() / result["actions"]
            bench.measure_limit(("stored", reading, actions), "insert", "bytesPerAction", actions=actions, logs=64,
                                rows=rows, payload=payload, dir=bench.folder)
            bench.add("stored bytes per action of 120 bytes of %s, %d a request" % (reading, actions), "bytes", each,
                      target=target, limit=bench.median_limit("stored", reading, actions))


def logs10k(bench):
    """The same with 10 000 logs."""
    for actions, results in _rounds(bench, 10_000, 5).items():
        floor = bench.floor_usec(actions, 10_000)
        cpu = Figure("CPU per 100 000 actions, 10 000 logs, %d a request" % actions, "s",
                     _each(results, "daemon", "cpuPer100kActions"), limit=floor / 10)
        bench.figures.append(cpu)
        if actions in bench.cpus:
            bench.add("10 000 logs against 64, %d a request" % actions, "×", cpu.value / bench.cpus[actions],
                      target=LOGS_TARGET)


def logs1m(bench):
    """A million logs, the next one at random: hardly any is written twice."""
    for actions, results in _rounds(bench, 1_000_000, 5, order="random").items():
        bench.add("CPU per 100 000 actions, 1 000 000 logs, %d a request" % actions, "s",
                  _each(results, "daemon", "cpuPer100kActions"))
        bench.add("throughput, 1 000 000 logs, %d a request" % actions, "actions/s", _each(results, "actionsPerSecond"))


def connection1(bench):
    """One connection: nobody to share a commit with."""
    for actions in SIZES:
        results = []
        for turn in range(bench.runs):
            with bench.daemon() as daemon:
                results.append(bench.load(daemon, "1 connection, %d a request, run %d" % (actions, turn + 1),
                                          connections=1, users=1, actions=actions, duration=bench.seconds(3),
                                          warmup=bench.seconds(1)))
        bench.add("one connection: p50, %d a request" % actions, "ms", _each(results, "latencyMs", "p50"),
                  limit=bench.median_limit("append p50"))
        bench.add("one connection: throughput, %d a request" % actions, "actions/s", _each(results, "actionsPerSecond"))


def p99(bench):
    """Latency at half of the throughput that is asked for and of that which was measured, open loop."""
    for actions in SIZES:
        for words, throughput in (("target", THROUGHPUT_TARGET[actions]), ("measured", bench.capacity(actions))):
            name = "half of the %s throughput, %d a request" % (words, actions)
            results = []
            for turn in range(bench.runs):
                with bench.daemon() as daemon:
                    results.append(bench.load(daemon, "%s, run %d" % (name, turn + 1), actions=actions, connections=256,
                                              users=256, rate=round(throughput / actions / 2), arrivals="poisson",
                                              duration=bench.seconds(5), settle=0))
            bench.add("p99 at " + name, "ms", _each(results, "latencyMs", "p99"), target=P99_TARGET_MS,
                      limit=bench.median_limit("append p99"))


def replay(bench):
    """A log of 1 000 000 actions as NDJSON."""
    batches = 50 if bench.short else REPLAY_BATCHES
    with bench.daemon() as daemon:
        bench.load(daemon, "a log of %d actions" % (batches * REPLAY_BATCH), connections=1, users=1, actions=REPLAY_BATCH,
                   requests=batches, warmup=0, sample=0)
        # A process that has not held the log before: its memory is the replay's.
        daemon.stop()
        daemon.start()
        before = daemon.memory("VmHWM")
        results = [bench.load(daemon, "replay, run %d" % (turn + 1), mode="replay", connections=1, users=1,
                              fresh=False, duration=bench.seconds(4), warmup=0, settle=0, sample=0)
                   for turn in range(bench.runs)]
        growth = daemon.memory("VmHWM") - before
    hashing = bench.median_limit("hash")
    per_core = [1e6 / cpu for cpu in _each(results, "replay", "daemonCpuPerAction_us")]
    bench.add("replay, per core of the daemon", "actions/s", per_core, target=REPLAY_TARGET, sense=">=",
              limit=1e6 / hashing if hashing else None)
    bench.add("replay, as one client saw it", "actions/s", _each(results, "replay", "actionsPerSecond"))
    bench.add("replay, growth of memory", "MiB", growth / MIB)


SENT_NOTE = ("What the load tool really sent, against the throughput without overload: it shares the cores with the daemon,"
             " and a connection that waits for its answer sends nothing.")
ACCEPTED_NOTE = ("From the time of sending: where the tool itself cannot keep up with the schedule, its own delay would be"
                 " all that the latency since the intended time shows.")


def overload(bench):
    """More than the daemon can take, open loop: what it still does, and how it says no."""
    for actions in SIZES:
        for factor in (2, 5):
            name = "overload %d×, %d a request" % (factor, actions)
            runs = [_overloaded(bench, "%s, run %d" % (name, turn + 1), actions, factor) for turn in range(bench.runs)]
            bench.add(name + ": sent", "× of throughput", [run["sent"] for run in runs], note=SENT_NOTE)
            bench.add(name + ": goodput", "% of throughput", [run["goodput"] for run in runs], sense=">=",
                      target=GOODPUT_TARGET[actions] if factor == 5 else None)
            bench.add(name + ": p99 of accepted", "ms", [run["accepted"] for run in runs], target=ACCEPTED_TARGET_MS,
                      note=ACCEPTED_NOTE)
            bench.add(name + ": refused", "% of requests", [run["refused share"] for run in runs])
            refused = [run["refused"] for run in runs if run["refused share"] > 0]
            if refused:
                bench.add(name + ": p99 of refused", "ms", refused, target=REFUSED_TARGET_MS)
            bench.add(name + ": peak memory", "MiB", [run["memory"] for run in runs])
            bench.add(name + ": back to normal after", "s", [run["back"] for run in runs], target=BACK_TARGET_SEC)


def _overloaded(bench, what, actions, factor):
    capacity = bench.capacity(actions)
    with bench.daemon() as daemon:
        before = _half_rate(bench, daemon, actions, "before-", duration=2, warmup=1)
        # No warm-up: what it leaves behind would have to be worked off before anything is measured.
        result = bench.load(daemon, what, actions=actions, rate=round(factor * capacity / actions), arrivals="poisson",
                            warmup=0, settle=0, sample=0, connections=OVERLOAD_CONNECTIONS,
                            users=OVERLOAD_CONNECTIONS, duration=bench.seconds(5))
        normal_ms = max(P99_TARGET_MS, 2 * before["latencyMs"]["p99"])
        back = _seconds_to_normal(bench, daemon, actions, normal_ms)
    refused = sum(count for status, count in result["statuses"].items() if status != "200")
    answered = result["requests"] + refused
    return {"sent": answered * actions / result["seconds"] / capacity,
            "goodput": 100 * result["actionsPerSecond"] / capacity, "accepted": result["serviceMs"]["p99"],
            "refused": result["refusedMs"]["p99"], "refused share": 100 * refused / answered, "back": back,
            "memory": result["daemon"]["peakMemoryBytes"] / MIB}


def _half_rate(bench, daemon, actions, prefix, **options):
    """A moment at half of the throughput, with logs of its own."""
    return load(bench.build, daemon, prefix=prefix, actions=actions, connections=256, users=256, arrivals="poisson",
                rate=round(bench.capacity(actions) / actions / 2), settle=0, sample=0, **options)


def _seconds_to_normal(bench, daemon, actions, normal_ms):
    """Since now: when the first second begins in which half of the throughput has a normal p99 and nothing is refused."""
    began = time.monotonic()
    for attempt in range(8):
        begun = time.monotonic() - began
        result = _half_rate(bench, daemon, actions, "back%d-" % attempt, duration=1, warmup=0)
        answered_well = result["requests"] > 0 and result["statuses"].keys() <= {"200"}
        if answered_well and result["latencyMs"]["p99"] <= normal_ms:
            return round(begun, 2)
    return round(time.monotonic() - began, 2)


def waiters(bench):
    """10 000 clients that wait for news, alone and beside load."""
    with bench.daemon(server__connections=WAITERS_CONNECTIONS) as daemon:
        before = daemon.memory("VmRSS")
        idle_sec, beside_sec = bench.seconds(8), bench.seconds(6)
        with load_beside(bench.build, daemon, mode="wait", connections=WAITERS, users=WAITERS, prefix="idle-", warmup=0,
                         settle=0, sample=0, duration=idle_sec + beside_sec + 12) as waiting:
            _await_connections(daemon, WAITERS)
            cpu = daemon.cpu_sec()
            time.sleep(idle_sec)
            cpu = daemon.cpu_sec() - cpu
            memory = daemon.memory("VmRSS") - before
            result = bench.load(daemon, "beside %d waiters, 10 a request" % WAITERS, actions=10, duration=beside_sec)
            waiting()
    bench.add("10 000 waiters: memory each", "KiB", memory / 1024 / WAITERS)
    bench.add("10 000 waiters: CPU while nothing happens", "% of a core", 100 * cpu / idle_sec)
    bench.add("10 000 waiters: CPU per 100 000 actions beside them, 10 a request", "s",
              result["daemon"]["cpuPer100kActions"])
    bench.add("10 000 waiters: throughput beside them, 10 a request", "actions/s", result["actionsPerSecond"])


def subscribers(bench):
    """1000 event streams on 1000 logs that grow, beside 10 000 on logs that do not."""
    idle_sec = bench.seconds(30)
    options = {"server__connections": SUBSCRIBERS + IDLE_SUBSCRIBERS + 500, "limits__waiters": SUBSCRIBERS + IDLE_SUBSCRIBERS}
    with bench.daemon(**options) as daemon:
        with load_beside(bench.build, daemon, mode="wait", subscribers=IDLE_SUBSCRIBERS, prefix="idle-", warmup=0, settle=0,
                         sample=0, duration=idle_sec + 3) as holding:
            _await_connections(daemon, IDLE_SUBSCRIBERS)
            cpu = daemon.cpu_sec()
            time.sleep(idle_sec)
            cpu = daemon.cpu_sec() - cpu
            idle_memory = daemon.memory("VmRSS")
            holding()
    results = []
    for turn in range(bench.runs):
        with bench.daemon(**options) as daemon:
            results.append(bench.load(daemon, "%d subscribers, run %d" % (SUBSCRIBERS + IDLE_SUBSCRIBERS, turn + 1),
                                      users=SUBSCRIBERS, subscribers=SUBSCRIBERS + IDLE_SUBSCRIBERS, connections=64,
                                      rate=SUBSCRIBERS_RATE, arrivals="poisson", duration=bench.seconds(10)))
    bench.add("10 000 idle subscribers: memory of the daemon", "MB", idle_memory / 1e6, target=WAITERS_MEMORY_MB)
    bench.add("10 000 idle subscribers: CPU", "% of a core", 100 * cpu / idle_sec, target=WAITERS_CPU_TARGET)
    name = "1000 subscribers beside 10 000 idle ones, 5000 commits/s: "
    bench.add(name + "p99 from answer to event", "ms", _each(results, "subscribers", "eventMs", "p99"), target=EVENT_TARGET_MS)
    bench.add(name + "missed the last head", "subscribers", _each(results, "subscribers", "behind"), target=0)
    bench.add(name + "p99 of the answers", "ms", _each(results, "latencyMs", "p99"))
    bench.add(name + "CPU", "% of a core", [100 * result["daemon"]["cpuSeconds"] / result["seconds"] for result in results])
    bench.add(name + "peak memory", "MB", [result["daemon"]["peakMemoryBytes"] / 1e6 for result in results])


def _await_connections(daemon, count):
    for _ in range(300):
        if len(os.listdir("/proc/%d/fd" % daemon.pid)) >= count:
            time.sleep(1)
            return
        time.sleep(0.1)
    raise Failed("%d waiters do not get their connections" % count)


def limits(bench):
    """What the machine itself does: syncs, and requests without suspend."""
    for _ in range(bench.runs):
        found = bench.measure_limit(("append p50",), "append", "p50Ms", dir=bench.folder, size="16KiB")
        bench.limits.setdefault(("append p99",), []).append(found["p99Ms"])
        bench.limits.setdefault(("append CPU",), []).append(found["cpuPerAppendUs"])
        for actions in SIZES:
            bench.measure_limit(("http at once", actions), "http", "cpuPerRequestUs", actions=actions,
                                payload=PAYLOAD_BYTES, duration=round(bench.seconds(2) + 0.5))


def limit_rows(bench):
    """The limits as figures of their own, for their table."""
    words = {"http": ("libmicrohttpd, suspended and resumed, %d a request", "µs a request"),
             "http at once": ("libmicrohttpd, answered at once, %d a request", "µs a request"),
             "hash": ("digest and link", "µs an action"),
             "insert": ("SQLite in bulk, %d logs, batches of %d", "µs an action"),
             "stored": ("SQLite in bulk, 120 bytes of %s, batches of %d: stored", "bytes an action"),
             "append p50": ("append and fdatasync, p50", "ms"),
             "append p99": ("append and fdatasync, p99", "ms"), "append CPU": ("append and fdatasync, CPU", "µs")}
    rows = []
    for key in sorted(bench.limits, key=lambda key: (list(words).index(key[0]), key[1:])):
        name, unit = words[key[0]]
        rows.append(Figure(name % key[1:] if "%" in name else name, unit, bench.limits[key]))
    return rows


# In the order in which they run: the first ones give the others their limits and the throughput to compare with.
SCENARIOS = [limits, matrix, stored, logs10k, logs1m, connection1, p99, replay, overload, waiters, subscribers]
