"""
links: whether what the project's documents point to is there.

    links.py [ROOT]      prints every breach as file:line: what; exit code 1 if there is one

- [text](target): the file or folder exists, and has the heading that an #anchor names.
- `server/…`, `tests/…` and so on in a code span: the path exists. It may have a *.
- `e2e/24_receipts.py::name` in a code span: that test below tests/ has a story or test of this name.
- A block of code whose first line names a file (```c docs/examples/c/chain.c): its lines are in that file, in one piece.
- runbook_url in the alerts.
- In docs/sizing.md a row that begins with `a figure's name` has the value that loadtest/RESULTS.md has for it.
"""
import glob
import os
import re
import sys

FOLDERS = ("server", "tests", "schema", "docs", "config", "loadtest")
SKIP = {"build", ".git", "data", "corpus", "__pycache__", "node_modules"}

LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
SPAN = re.compile(r"`([^`]+)`")
PATH = re.compile(r"(?:%s)/[\w.*/-]+" % "|".join(FOLDERS))
TEST = re.compile(r"((?:e2e|unit|faults)/\w+\.(?:py|c))::(\w+)")


def without_code(text):
    """Blocks of code blanked; lines stay where they are."""
    return re.sub(r"^```.*?^```", lambda block: "\n" * block.group().count("\n"), text, flags=re.DOTALL | re.MULTILINE)


def anchors(text):
    """What GitHub makes of the headings."""
    found = set()
    for heading in re.findall(r"^#+ +(.*)$", without_code(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        name, count = slug, 0
        while name in found:
            count += 1
            name = "%s-%d" % (slug, count)
        found.add(name)
    return found


class Links:
    def __init__(self, root):
        self.root, self.breaches = root, []

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()

    def files(self, ends):
        for folder, names, files in os.walk(self.root):
            names[:] = sorted(name for name in names if name not in SKIP)
            yield from (os.path.relpath(os.path.join(folder, name), self.root) for name in sorted(files) if name.endswith(ends))

    def check(self):
        for path in self.files(".md"):
            self.breaches += ["%s:%d: this is not in %s" % (path, number, name) for number, name in self.strange_blocks(self.read(path))]
            lines = without_code(self.read(path)).split("\n")
            for number, line in enumerate(lines, 1):
                faults = list(self.faults_of(path, line)) + (self.faults_of_figure(line) if path == "docs/sizing.md" else [])
                for what in faults:
                    self.breaches.append("%s:%d: %s" % (path, number, what))
        for path in self.files("rules.yml"):
            for number, line in enumerate(self.read(path).split("\n"), 1):
                found = re.search(r"runbook_url: *(\S+)", line)
                if found and self.fault_of_link("rules.yml", found.group(1)):
                    self.breaches.append("%s:%d: %s" % (path, number, self.fault_of_link("rules.yml", found.group(1))))
        return self.breaches

    def strange_blocks(self, text):
        """Line and file of each block that is not in the file that it names. How far it is indented does not matter."""
        for block in re.finditer(r"^```\w+ ([\w./-]+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            name, code = block.groups()
            place = os.path.join(self.root, name)
            whole = [line.strip() for line in self.read(name).split("\n")] if os.path.exists(place) else []
            piece = [line.strip() for line in code.split("\n")[:-1]]
            if not any(whole[at:at + len(piece)] == piece for at in range(len(whole))):
                yield text.count("\n", 0, block.start()) + 1, name

    def faults_of(self, path, line):
        for target in LINK.findall(line):
            fault = self.fault_of_link(path, target)
            if fault:
                yield fault
        for span in SPAN.findall(line):
            if PATH.fullmatch(span) and not glob.glob(os.path.join(self.root, span)):
                yield "there is no " + span
            test = TEST.fullmatch(span)
            if test and not self.has_test(*test.groups()):
                yield "there is no test " + span

    def faults_of_figure(self, line):
        row = re.match(r"\| `([^`]+)` \| ([^|]+?) \|", line)
        wanted = row and "\n| %s | %s |" % row.groups()
        return ["RESULTS.md has no %s of %s" % row.groups()] if row and wanted not in self.read("loadtest/RESULTS.md") else []

    def fault_of_link(self, path, target):
        if re.match(r"[a-z]+:", target):
            return None
        name, _, anchor = target.partition("#")
        place = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        if not os.path.exists(os.path.join(self.root, place)):
            return "there is no " + place
        if anchor and anchor not in anchors(self.read(place)):
            return "%s has no heading #%s" % (place, anchor)
        return None

    def has_test(self, path, name):
        path = os.path.join("tests", path)
        return os.path.exists(os.path.join(self.root, path)) and re.search(
            r"(?:def |START_TEST\()%s\b" % name, self.read(path)) is not None


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.realpath(__file__)), "../..")
    breaches = Links(root).check()
    print("\n".join(breaches) or "links: no breach")
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
