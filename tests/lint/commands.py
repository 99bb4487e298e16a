"""
commands: whether the command lines of edgereplay that the documents show are ones that it takes.

    commands.py [ROOT]   prints every breach as file:line: what; exit code 1 if there is one

The table is that of server/cli/commands.c, the flags' names are those of flags.c.

- In blocks of code of .md files and in config/: the command is there, takes each flag, and where there are flags or
  arguments it has the flags that it needs, and as many arguments as it takes. A … says that something is left out.
- The same in code spans that begin with `edgereplay`, but for CHANGELOG.md, whose spans name what is new.
- unix: is followed by a whole path.
- In spans that begin with a command and have a flag (`bisect LOG --with=FILE`): it takes each flag.
"""
import os
import re
import sys

SKIP = {"build", ".git", "data", "corpus", "__pycache__", "node_modules"}
EVERYWHERE = {"quiet", "json", "help", "version"}

ROW = re.compile(r'\{"([a-z -]+)", cmd_\w+, ([^"{}]*?),\s*(\d+),\s*(\w+),\s*"')
ENDS = (".md", ".yaml", ".yml", ".service", ".ini", ".cfg", ".conf", "Caddyfile")

CALL = re.compile(r"(?:^|[\s;(|'\"=$])(?:[\w./]*/)?edgereplay(?= +[a-z])")
CONTAINER = re.compile(r"docker (?:exec|compose .*exec(?: -T)?) edgereplay$")  # its name
CUT = re.compile(r"""\s(?:[|;&]|\d?>|<|\#\s)|[;|)&]""")


def commands(root):
    """name: (flags needed, all flags, fewest arguments, most arguments)"""
    with open(os.path.join(root, "server/cli/flags.c"), encoding="utf-8") as file:
        flags = dict(re.findall(r'\[(FLAG_\w+)\] = \w+\("([\w-]+)"', file.read()))
    with open(os.path.join(root, "server/cli/commands.c"), encoding="utf-8") as file:
        text = file.read()
    most = dict(re.findall(r"#define (\w+) (\d+)", text))
    found = {}
    for name, bits, least, up_to in ROW.findall(text):
        needed, _, others = re.sub(r"\s+", " ", bits).partition(", ")
        needed, others = ({flags[flag] for flag in re.findall(r"FLAG_\w+", part)} for part in (needed, others))
        found[name] = (needed, needed | others | EVERYWHERE, int(least), int(most.get(up_to, up_to)))
    return found


def words_of(line):
    """As many as the shell makes of the command at the line's beginning; what is quoted is crossed out."""
    line = re.sub(r"""'[^']*'|"[^"]*"|\$+\([^)]*\)""", lambda match: "x" * len(match.group()), line)
    cut = CUT.search(line)
    return (line[:cut.start()] if cut else line).split()


class Commands:
    def __init__(self, root):
        self.root, self.table, self.breaches = root, commands(root), []

    def check(self):
        for folder, names, files in os.walk(self.root):
            names[:] = sorted(name for name in names if name not in SKIP)
            for name in sorted(files):
                path = os.path.relpath(os.path.join(folder, name), self.root)
                if name.endswith(ENDS) and (name.endswith(".md") or path.startswith("config/")):
                    self.check_file(path)
        return self.breaches

    def check_file(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            lines = file.read().split("\n")
        in_block = not path.endswith(".md")
        for number, line in enumerate(lines, 1):
            if line.lstrip().startswith("```"):
                in_block = not in_block
                continue
            # A line that ends with a backslash goes on in the next one.
            more = number
            while in_block and line.endswith("\\") and more < len(lines):
                line, more = line[:-1] + " " + lines[more], more + 1
            for piece, is_whole in self.pieces(line, in_block):
                for what in self.faults(piece, is_whole and path != "CHANGELOG.md"):
                    self.breaches.append("%s:%d: %s: %s" % (path, number, piece.strip()[:60], what))

    def pieces(self, line, in_block):
        """Command lines without the program's name, and whether nothing may be missing."""
        for call in CALL.finditer(line if in_block else ""):
            mark = line[call.start()]
            end = line.find(mark, call.end()) if mark in "'\"" else -1
            # What a comment says in words is no command.
            is_said = "#" in line[:call.start()] and "--" not in line[call.end():]
            if not is_said and not CONTAINER.search(line[:call.end()]):
                yield line[call.end():end if end != -1 else None], True
        for span in re.findall(r"`([^`]+)`", "" if in_block else line):
            call = CALL.match(span)
            if call:
                yield span[call.end():], True
            elif self.command_of(span.split()) and " --" in span:
                yield span, False

    def command_of(self, words):
        for count in (2, 1):
            if " ".join(words[:count]) in self.table:
                return " ".join(words[:count])
        return None

    def faults(self, piece, is_whole):
        words = words_of(piece)
        name = self.command_of(words)
        if not words or not re.fullmatch(r"[a-z][a-z-]*", words[0]) or words[0] == "edgereplay":
            return
        if not name:
            yield "no such command"
            return
        needed, known, least, most = self.table[name]
        rest = words[len(name.split()):]
        given = [re.sub(r"=.*", "", word[2:]) for word in rest if word.startswith("--")]
        for flag in given:
            if flag not in known:
                yield "--%s is none of its flags" % flag
        for word in rest:
            if re.match(r"--\w+=unix:[a-z.]", word):
                yield "%s is no whole path" % word
        if not is_whole or not rest or "…" in piece or "help" in given:
            return
        for flag in sorted(needed - set(given)):
            yield "--%s is missing" % flag
        count = len([word for word in rest if not word.startswith("-") or word == "-"])
        if not least <= count <= most:
            yield "%d arguments" % count


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.realpath(__file__)), "../..")
    breaches = Commands(root).check()
    print("\n".join(breaches) or "commands: no breach")
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
