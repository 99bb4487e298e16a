"""
bugs: what tests must notice. Each is a small edit of the sources that breaks a promise; plant makes it, check runs the
tests that are named here on it, and all of them must fail.

    name       file       what is broken
    old text   (once in the file)
    new text
    tests      paths below tests/, without or with words of the names of the stories to run
"""
from collections import namedtuple

Bug = namedtuple("Bug", "name file breaks old new tests")

BUGS = [
    Bug("acknowledge-before-commit", "server/store/sqlite/journal_file.c",
        "answers when nothing is in the journal yet, and only the applier will write it",
        "struct tail_batch *batch = first; batch != NULL && status", "struct tail_batch *batch = NULL; batch != NULL && status",
        ["faults/01_kill.py by_kill_9", "faults/02_named_steps.py load", "unit/store_sqlite_power"]),
    Bug("journal-not-synced", "server/store/sqlite/journal_file.c",
        "answers when the journal is written, and not yet synced",
        "if (status == STATUS_OK && fdatasync(file->fd) == -1)", "if (status == STATUS_OK && file->fd == -1)",
        ["unit/store_sqlite_power"]),
]
