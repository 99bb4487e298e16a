"""links_test: plants one dead pointer of every kind in a small tree and sees that links.py names each, and nothing else."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True
from links import Links  # noqa: E402
from planted import judge  # noqa: E402

TREE = {
    "README.md": "# A `Title`, twice\n## Again\n## Again\n```\n[x](gone.md) `docs/gone.md`\n```\n"
                 "[a](docs/a.md) [b](docs/a.md#one-two) [c](#a-title-twice) [d](#again-1) [e](https://example.com/x) `docs/*.md`\n",
    "docs/a.md": "# One, two\n[up](../README.md) `e2e/1_a.py::a_story` `unit/b.c::a_test` `tests/e2e/1_a.py`\n"
                 "```python tests/e2e/1_a.py\ndef a_story():\n\tpass\n```\n",
    "tests/e2e/1_a.py": "@story.story\ndef a_story():\n    pass\n",
    "tests/unit/b.c": "START_TEST(a_test)\n",
    "config/rules.yml": "runbook_url: docs/a.md#one-two\n",
    "docs/sizing.md": "| `speed, 1` | 2 |\n",
    "loadtest/RESULTS.md": "| figure |\n| speed, 1 | 2 | 1 to 3 |\n",
}
DEAD = [
    ("README.md", "[x](gone.md)\n", "there is no gone.md"),
    ("README.md", "[x](docs/a.md#two)\n", "docs/a.md has no heading #two"),
    ("docs/a.md", "[x](#two)\n", "docs/a.md has no heading #two"),
    ("docs/a.md", "[x](a.md/../../docs/b.md)\n", "there is no docs/b.md"),
    ("docs/a.md", "`server/gone.c`\n", "there is no server/gone.c"),
    ("docs/a.md", "`docs/*.txt`\n", "there is no docs/*.txt"),
    ("docs/a.md", "`e2e/1_a.py::a_stor`\n", "there is no test e2e/1_a.py::a_stor"),
    ("docs/a.md", "`unit/gone.c::a_test`\n", "there is no test unit/gone.c::a_test"),
    ("docs/a.md", "```c tests/unit/b.c\nSTART_TEST(another)\n```\n", "this is not in tests/unit/b.c"),
    ("docs/a.md", "```c tests/unit/gone.c\nSTART_TEST(a_test)\n```\n", "this is not in tests/unit/gone.c"),
    ("docs/sizing.md", "| `speed, 1` | 3 |\n", "RESULTS.md has no speed, 1 of 3"),
    ("config/rules.yml", "runbook_url: docs/a.md#gone\n", "docs/a.md has no heading #gone"),
]

judge(Links, TREE, DEAD, "dead pointers")
