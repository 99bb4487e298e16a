"""house_test: plants one breach of every rule in a small tree and sees that house.py names each, and nothing else."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True
from house import House  # noqa: E402

HEADER = "/*\n * good: a header as it should be.\n */\n#include \"base/text.h\"\n"


def function(body, parameters="void"):
    return "static int\nplanted(%s)\n{\n%s}\n" % (parameters, body)


NESTED = "\tif (1) {\n\t\tfor (;;) {\n\t\t\twhile (1) {\n%s\t\t\t}\n\t\t}\n\t}\n"

# path, content, a word of the breach that must be found (None: there is none)
PLANTED = [
    ("server/chain/good.h", HEADER, None),
    ("server/chain/up.c", '#include "store/store.h"\n', "includes upwards"),
    ("server/http/up.c", '#include "chain/chain.h"\n', "includes upwards"),
    ("server/base/up.c", '#include "http/listener.h"\n', "includes upwards"),
    ("server/store/up.c", '#include "http/request.h"\n', "includes upwards"),
    ("server/api/down.c", '#include "http/request.h"\n#include "store/store.h"\n', None),
    ("server/cli/side.c", '#include "api/wire.h"\n', "includes upwards"),
    ("server/base/bare.c", '#include "text.h"\n', "room/file.h"),
    ("server/chain/impure.c", "#include <stdio.h>\n", "chain is pure"),
    ("server/chain/threads.c", "#include <pthread.h>\n", "chain is pure"),
    ("server/store/door.c", "#include <sqlite3.h>\n", "another door"),
    ("server/store/sqlite/door.c", "#include <sqlite3.h>\n", None),
    ("server/api/door.c", "#include <microhttpd.h>\n", "another door"),
    ("server/store/json.c", "#include <jansson.h>\n", "another door"),
    ("server/api/curl.c", "#include <curl/curl.h>\n", "another door"),
    ("server/api/hash.c", "#include <uthash.h>\n", "another door"),
    ("tests/unit/api_json.c", "#include <jansson.h>\n", None),
    ("server/base/banned.c", function("\tstrcpy(a, b);\n"), "strcpy is banned"),
    ("server/base/stack.c", function("\tchar *p = alloca(7);\n"), "alloca is banned"),
    ("server/base/quoted.c", function('\t/* strcpy(a, b) */\n\tputs("strcpy(a, b)");\n'), None),
    ("server/base/member.c", function("\tops->sprintf(a);\n"), None),
    ("server/base/long.c", function("\tx();\n" * 70), "lines, at most 70"),
    ("server/base/fits.c", function("\tx();\n" * 66), None),
    ("server/base/many.c", function("\tx();\n", "int a, int b, int c, int d, int e, int f"), "6 parameters"),
    ("server/base/wrapped.c", function("\tx();\n", "int a, int b, void (*c)(int, int),\n\tint d, int e"), None),
    ("server/store/operation.c", function("\tx();\n", "int a, int b, int c, int d, int e, int f, int g, int h"), None),
    ("server/store/nine.c", function("\tx();\n", "int a, int b, int c, int d, int e, int f, int g, int h, int i"), "9 parameters"),
    ("server/base/deep.c", function(NESTED % "\t\t\t\tif (1)\n\t\t\t\t\tx();\n"), "4 levels deep"),
    ("server/base/three.c", function(NESTED % "\t\t\t\tx();\n"), None),
    ("server/base/endless.c", "int x;\n" * 501, "501 lines"),
    ("server/base/later.c", "/* TO" + "DO: later */\n", "TO" + "DO"),
    ("tests/later.py", "# FIX" + "ME\n", "FIX" + "ME"),
    ("server/base/nameless.h", "/* A header. */\n", "does not begin with"),
    ("-", "{}\n", "odd name"),
    ("docs/two words.md", "x\n", "odd name"),
    ("docs/-x/a.md", "x\n", "odd name"),
    ("docs/.a-b_c.1.md", "x\n", None),
    ("server/base/other.h", "/*\n * another: name.\n */\n", "does not begin with"),
]


def main():
    with tempfile.TemporaryDirectory() as root:
        for path, content, _ in PLANTED:
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(content)
        breaches = House(root).check()
    wrong = 0
    for path, _, wanted in PLANTED:
        found = [breach for breach in breaches if breach.startswith(path + ":")]
        if len(found) != (wanted is not None) or wanted and wanted not in found[0]:
            print("house_test: %s: wanted %r, found %r" % (path, wanted, found))
            wrong += 1
    print("house_test: %d planted, %d judged wrongly" % (len(PLANTED), wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
