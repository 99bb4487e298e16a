"""
bugs: what tests must notice. Each is a small edit of the sources that breaks a promise; plant makes it, check runs the
tests that are named here on it, and all of them must fail.

    name       file       what is broken
    old text   (once in the file)
    new text
    tests      paths below tests/, without or with words of the names of the stories to run: the quickest that notice
"""
from bugs_backups import BACKUPS
from bugs_documented import DOCUMENTED
from bugs_kept import KEPT
from bugs_served import SERVED

BUGS = KEPT + BACKUPS + SERVED + DOCUMENTED
