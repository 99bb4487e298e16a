"""planted: what the linters' own tests share: a small tree, and one wrong line after the other in it."""
import os
import sys
import tempfile


def breaches_of(linter, tree, path=None, more=""):
    """What a linter says of the tree, with something more at the end of one of its files."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in tree.items():
            os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                file.write(text + (more if name == path else ""))
        return linter(root).check()


def judge(linter, tree, wrong, what):
    """Ends the process: of the tree nothing may be said, and of it with each (path, text, the end of what is to be said) just that."""
    failed = ["nothing is wrong, but: %s" % line for line in breaches_of(linter, tree)]
    for path, text, wanted in wrong:
        found = breaches_of(linter, tree, path, text)
        if len(found) != 1 or not found[0].startswith(path + ":") or not found[0].endswith(wanted):
            failed.append("%r in %s: %s" % (text, path, found))
    print("\n".join(failed) or "%d %s were named" % (len(wrong), what))
    sys.exit(1 if failed else 0)
