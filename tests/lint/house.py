"""
house: the project's own rules, those that no other linter knows.

    house.py [ROOT]      prints every breach as file:line: what; exit code 1 if there is one

- Includes go down: base < chain < store, base < http, chain < auth, api sees all of these and admin api, too; cli sees store, chain and base.
- chain includes no header that does input or output, nor threads or clocks.
- One door per library.
- No banned functions, no VLA by way of alloca.
- Functions of at most 70 lines, 5 parameters (8 for the engine's operations) and 3 levels; files of at most 500 lines.
- No TODO and its kin.
- A header begins with `name: what this is`.
- A file's name is one that needs no quotes and is no flag: letters, digits and ._-, the last not in front.
"""
import os
import re
import sys

LAYERS = {
    "base": {"base"},
    "chain": {"chain", "base"},
    "store": {"store", "chain", "base"},
    "http": {"http", "base"},
    "auth": {"auth", "chain", "base"},
    "api": {"api", "http", "auth", "store", "chain", "base"},
    "webhook": {"webhook", "chain", "base"},
    "admin": {"admin", "webhook", "api", "http", "auth", "store", "chain", "base"},
    "cli": {"cli", "store", "chain", "base"},
}

# A library's header, and the only places of the server that may include it. Tests may ask any library to be their judge.
DOORS = {
    r"sqlite3\.h": [r"server/store/sqlite/", r"server/cli/phone_(store|sql|rows|schema|chain)\.[ch]$"],
    r"libpq-fe\.h": [r"server/store/postgres"],
    r"microhttpd\.h": [r"server/http/"],
    r"jansson\.h": [r"server/api/", r"server/cli/", r"server/auth/"],
    r"curl/.*": [r"server/cli/transport\.c$", r"server/webhook/sender\.c$", r"server/auth/fetch\.c$"],
    r"gnutls/.*": [r"server/auth/(keys|algorithm)\.c$", r"server/http/(tls|sealer)\.c$"],
    r"rhonabwy\.h": [r"server/auth/keys\.c$"],
    r"ini\.h": [r"server/config\.c$", r"server/base/settings\.c$"],
    r"sodium(/.*)?\.h": [r"server/(base|chain)/", r"server/store/", r"server/main\.c$", r"server/cli/cmd_token\.c$",
                         r"server/http/", r"server/api/", r"server/auth/", r"server/webhook/"],
    r"zlib\.h": [r"server/http/", r"server/cli/(in|out)_file\.c$"],
    r"uthash\.h": [r"server/base/map\.h$"],
    r"systemd/.*": [r"server/main\.c$", r"server/notify\.c$"],
}

PURE = {"stdbool.h", "stddef.h", "stdint.h", "string.h", "limits.h", "assert.h", "stdlib.h", "sodium.h"}

BANNED = ("strcpy", "strcat", "sprintf", "vsprintf", "strtok", "atoi", "atol", "atof", "gets", "gmtime", "localtime",
          "asctime", "ctime", "alloca", "strncpy", "strncat", "tmpnam", "mktemp")

LINES_MAX, FILE_LINES_MAX, PARAMETERS_MAX, OPERATION_PARAMETERS_MAX, DEPTH_MAX = 70, 500, 5, 8, 3

# Functions that may have more parameters, and why.
EXCUSED = {
    "on_access": "microhttpd's prototype",
    "on_header": "microhttpd's prototype",
    "on_line": "microhttpd's prototype",
    "on_certificate": "gnutls's prototype",
    "config_load": "the process's three sources, and where to report",
    "wire_read_sync": "bytes in, a batch or a fault out",
    "log_write_limited": "log_write's five and the limit of the call site",
}

NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")

MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

FUNCTION = re.compile(r"^(?:[a-z_][\w \t]*[\s*]+)?([a-z_]\w*)\(([^;{}]*?)\)\s*(?:/\*.*\*/\s*)?$", re.DOTALL)


def strip(text):
    """The text with comments and the insides of strings blanked; lines stay where they are."""
    out, at = [], 0
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.DOTALL)
    for match in token.finditer(text):
        out.append(text[at:match.start()])
        piece = match.group()
        keep = piece[0] if piece[0] in "\"'" else " "
        out.append(keep + re.sub(r"[^\n]", " ", piece[1:-1]) + keep)
        at = match.end()
    return "".join(out) + text[at:]


class House:
    def __init__(self, root):
        self.root = root
        self.breaches = []

    def breach(self, path, line, text, *values):
        self.breaches.append("%s:%d: %s" % (path, line, text % values))

    def files(self):
        skip = {"build", ".git", "data", "corpus", "__pycache__"}
        for folder, names, files in os.walk(self.root):
            names[:] = sorted(name for name in names if name not in skip)
            for name in sorted(files):
                yield os.path.relpath(os.path.join(folder, name), self.root)

    def check(self):
        for path in self.files():
            if not all(NAME.fullmatch(name) for name in path.split("/")):
                self.breach(path, 1, "an odd name")
            with open(os.path.join(self.root, path), "rb") as file:
                try:
                    text = file.read().decode()
                except UnicodeDecodeError:
                    continue
            if path.endswith((".c", ".h")):
                self.check_c(path, text)
            if path.endswith((".c", ".h", ".py", ".sh", ".sql")) or path == "Makefile":
                self.check_length(path, text)
            if not path.startswith("tests/lint/house"):
                self.check_words(path, text)
        return self.breaches

    def check_length(self, path, text):
        count = text.count("\n")
        if count > FILE_LINES_MAX:
            self.breach(path, count, "%d lines, at most %d", count, FILE_LINES_MAX)

    def check_words(self, path, text):
        for number, line in enumerate(text.split("\n"), 1):
            mark = MARKS.search(line)
            if mark:
                self.breach(path, number, "%s", mark.group())

    def check_c(self, path, text):
        code = strip(text)
        self.check_includes(path, text)
        self.check_banned(path, code)
        self.check_functions(path, code)
        if path.endswith(".h"):
            self.check_header(path, text)

    def check_header(self, path, text):
        name = os.path.basename(path)[:-2]
        first = re.match(r"/\*\s*\n? ?\*? ?(\w+): \S", text)
        if not first or first.group(1) != name:
            self.breach(path, 1, "does not begin with a comment `%s: what this is`", name)

    # --- includes ---

    def check_includes(self, path, text):
        layer = path.split("/")[1] if path.startswith("server/") and path.count("/") > 1 else None
        for number, line in enumerate(text.split("\n"), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            local, name = match.group(1) == '"', match.group(2)
            if local and layer and "/" in name:
                target = name.split("/")[0]
                if target in LAYERS and target not in LAYERS.get(layer, set()):
                    self.breach(path, number, "%s includes upwards: %s", layer, name)
            if local and layer and "/" not in name:
                self.breach(path, number, "include as \"room/file.h\": %s", name)
            if not local and layer == "chain" and name not in PURE:
                self.breach(path, number, "chain is pure, but includes <%s>", name)
            for header, places in DOORS.items():
                if path.startswith("server/") and re.fullmatch(header, name) and not any(re.match(place, path) for place in places):
                    self.breach(path, number, "%s has another door", name)

    def check_banned(self, path, code):
        for number, line in enumerate(code.split("\n"), 1):
            for name in re.findall(r"(?<![\w.>])(\w+)\s*\(", line):
                if name in BANNED:
                    self.breach(path, number, "%s is banned", name)

    # --- functions ---

    def check_functions(self, path, code):
        """A definition's body begins with { in the first column, as clang-format leaves it."""
        lines = code.split("\n")
        for number, line in enumerate(lines):
            if line == "{":
                self.check_function(path, lines, number)

    def check_function(self, path, lines, opening):
        start = opening
        while start > 0 and lines[start - 1].strip() and not lines[start - 1].startswith(("}", "#")):
            start -= 1
        match = FUNCTION.match("\n".join(lines[start:opening]).strip())
        if not match:
            return
        end = next((n for n in range(opening, len(lines)) if lines[n].startswith("}")), len(lines) - 1)
        name, parameters = match.group(1), split_parameters(match.group(2))
        if end - start + 1 > LINES_MAX:
            self.breach(path, start + 1, "%s has %d lines, at most %d", name, end - start + 1, LINES_MAX)
        most = OPERATION_PARAMETERS_MAX if self.is_operation(path) else PARAMETERS_MAX
        if len(parameters) > most and name not in EXCUSED:
            self.breach(path, start + 1, "%s has %d parameters, at most %d", name, len(parameters), most)
        depth = deepest(lines[opening:end + 1])
        if depth > DEPTH_MAX:
            self.breach(path, start + 1, "%s is %d levels deep, at most %d", name, depth, DEPTH_MAX)

    @staticmethod
    def is_operation(path):
        """The engine's operations, their implementations, and what hands them through; settle, whose facts are its arguments."""
        return path.startswith(("server/store/", "tests/")) or path == "server/chain/settle.c"


def split_parameters(text):
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    parts.append(current)
    return [part for part in parts if part.strip() not in ("", "void")]


def deepest(body):
    """
    How deep control flow nests: 1 for what stands directly in the function, by indentation of statements that begin a
    block (a body without braces counts as well).
    """
    most = 1
    for line in body[1:-1]:
        match = re.match(r"(\t+)(?:\} )?(?:if|for|while|switch|do|else)\b", line)
        if match:
            most = max(most, len(match.group(1)))
    return most


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.realpath(__file__)), "../..")
    breaches = House(root).check()
    print("\n".join(breaches) or "house: no breach")
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
