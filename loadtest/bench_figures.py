"""bench_figures: figures with their limits and targets, as a table for the terminal and for RESULTS.md."""
import statistics


class Figure:
    """
    One row. value: the median of runs. target: a number with its sense ("<=" or ">="), or None. limit: what this machine
    would allow, measured in the same bench; ratio: how many times the limit is missed (1 would be at the limit).
    """

    def __init__(self, name, unit, runs, target=None, sense="<=", limit=None, note=""):
        self.name, self.unit, self.note = name, unit, note
        self.runs = list(runs) if isinstance(runs, (list, tuple)) else [runs]
        self.value = statistics.median(self.runs)
        self.target, self.sense, self.limit = target, sense, limit

    @property
    def met(self):
        if self.target is None:
            return None
        return self.value <= self.target if self.sense == "<=" else self.value >= self.target

    @property
    def ratio(self):
        if not self.limit or not self.value:
            return None
        return self.value / self.limit if self.sense == "<=" else self.limit / self.value

    def raw(self):
        return {"name": self.name, "unit": self.unit, "value": self.value, "runs": self.runs, "target": self.target,
                "sense": self.sense, "limit": self.limit, "ratio": self.ratio, "met": self.met, "note": self.note}

    def cells(self):
        spread = ""
        if len(self.runs) > 1:
            spread = "%s to %s" % (number(min(self.runs)), number(max(self.runs)))
        target = "" if self.target is None else "%s %s" % ({"<=": "≤", ">=": "≥"}[self.sense], number(self.target))
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        return [self.name, number(self.value), spread, self.unit, optional(self.limit), optional(self.ratio, "×"),
                target, met]


HEADINGS = ["figure", "measured", "range of runs", "unit", "limit", "ratio", "target", "met"]


def number(value):
    """Three significant digits, thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return "{:,.0f}".format(round(value, -max(0, len(str(int(abs(value)))) - 4))).replace(",", " ")
    text = "%.3g" % value
    return text if "e" not in text else "%f" % value


def optional(value, unit=""):
    return "" if value is None else number(value) + unit


def lines_for_terminal(figures):
    for figure in figures:
        name, value, spread, unit, limit, ratio, target, met = figure.cells()
        line = "  %-52s %10s %-14s" % (name, value, unit)
        if limit:
            line += "  limit %s (%s)" % (limit, ratio)
        if target:
            line += "  target %s: %s" % (target, met.strip("*"))
        if spread:
            line += "  [%s]" % spread
        yield line


def table(figures):
    """Markdown; the notes follow, numbered."""
    rows, notes = [HEADINGS, ["---"] + ["---:" if i in (1, 4, 5, 6) else "---" for i in range(1, len(HEADINGS))]], []
    for figure in figures:
        cells = figure.cells()
        if figure.note:
            if figure.note not in notes:
                notes.append(figure.note)
            cells[0] += " [%d]" % (notes.index(figure.note) + 1)
        rows.append(cells)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if notes:
        lines += [""] + ["[%d] %s" % (i, note) + "\n" for i, note in enumerate(notes, 1)]
    return "\n".join(lines).rstrip()


RESULTS = """# What was measured

Written by `make bench`; a run of it replaces this file. `CHOICES.md` beside it says what was chosen because of such
figures, and where the remaining time goes.

## The machine

| | |
|---|---|
%(machine)s

## Figures and limits

%(table)s

%(failures)s## The limits themselves

%(limits)s

## How to read it

- Daemon and load tool share the machine; CPU is the daemon's alone, user and system, from before the measured part
  until it came to rest after it: what was put off is counted. An action has 120 bytes of content: stamp, device,
  type and payload.
- Each run has a daemon of its own on an empty folder, with default options. Where there is a range, the figure is
  the median of so many runs, and the runs of different kinds took turns.
- Every answer's state hash was compared with the load tool's own chain, and after the runs of the matrix a sample of
  logs was pulled and verified.
- **limit** is what this machine allowed in the same bench, measured by `edgereplay-limits`. For CPU it is the sum
  of three floors: libmicrohttpd answers a constant to the same POST through suspend and resume (a request), digest
  and link (an action), SQLite takes the same rows in bulk (an action). For throughput it is both cores full with
  that sum and with the load tool's own CPU. For a p99 it is that of an append and fdatasync. **ratio** is how many
  times the limit is missed: 1 would be at the limit. The floor pays no journal, no checking and no waiting for each
  other; nothing that keeps the promises can reach it.
- p99 of an open loop counts from the moment at which a request should have gone out, so a stall is paid by everyone
  who would have come during it.
"""


def limits_table(rows):
    lines = ["| limit | measured | range of runs | unit |", "|---|---:|---|---|"]
    for row in rows:
        name, value, spread, unit = row.cells()[:4]
        lines.append("| %s | %s | %s | %s |" % (name, value, spread, unit))
    return "\n".join(lines)


def results(facts, figures, limits, failures):
    """RESULTS.md. failures: (scenario, why)."""
    failed = ""
    if failures:
        lines = ["- %s: %s" % (name, why.split("\n")[0]) for name, why in failures]
        failed = "## What did not run\n\n%s\n\n" % "\n".join(lines)
    known = "\n".join("| %s | %s |" % pair for pair in facts)
    return RESULTS % {"machine": known, "table": table(figures), "limits": limits_table(limits), "failures": failed}
