"""
bug: what is said of a planted bug (bugs.py), and the rooms' folders.
"""
from collections import namedtuple

Bug = namedtuple("Bug", "name file breaks old new tests")

API, AUTH, CLI, HTTP, STORE, WEBHOOK = ("server/%s/" % room for room in ("api", "auth", "cli", "http", "store", "webhook"))
SQLITE = STORE + "sqlite/"
