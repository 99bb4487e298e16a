"""commands_test: plants one wrong command line of every kind in a small tree and sees that commands.py names each, and nothing else."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True
from commands import Commands  # noqa: E402
from planted import judge  # noqa: E402

TREE = {
    "server/cli/flags.c": '\t[FLAG_FROM] = TEXT_FLAG("from", from),\n\t[FLAG_ALL] = SWITCH("all", all),\n',
    "server/cli/commands.c": '#define MANY 9\n\t{"take", cmd_take, BIT(FLAG_FROM), BIT(FLAG_ALL),\n\t 1, 1,\n\t "take"},\n'
                             '\t{"token make", cmd_make, 0, 0, 0, MANY, "token make"},\n',
    "docs/a.md": "`edgereplay take` `edgereplay take --all …` `take a --all` `take it` `edgereplay token make a b`\n"
                 "```sh\nbuild/edgereplay take \"a b\" --from=$(date -u) | sort -r   # edgereplay is quick\n"
                 "x 'edgereplay take a --from=b' --other\nedgereplay take a \\\n\t--from=b\nedgereplay --version\n"
                 "docker exec edgereplay ls\ndocker run --entrypoint=edgereplay edgereplay take a --from=b\n```\n",
    "CHANGELOG.md": "`edgereplay take --all`\n",
    "config/a.service": "ExecStart=/usr/bin/edgereplay take a --from=b --json\n",
}
WRONG = [
    ("docs/a.md", "`edgereplay give`\n", "give: no such command"),
    ("docs/a.md", "`edgereplay token`\n", "token: no such command"),
    ("docs/a.md", "`take a --form=b`\n", "--form is none of its flags"),
    ("docs/a.md", "`edgereplay take a --all`\n", "--from is missing"),
    ("docs/a.md", "`edgereplay take --from=b`\n", "0 arguments"),
    ("docs/a.md", "```sh\nsudo edgereplay take a b --from=b\n```\n", "2 arguments"),
    ("docs/a.md", "```sh\nedgereplay take a \\\n\t--from=b --gone\n```\n", "--gone is none of its flags"),
    ("docs/a.md", "```sh\nx 'edgereplay take a'\n```\n", "--from is missing"),
    ("docs/a.md", "```sh\ndocker exec edgereplay edgereplay give\n```\n", "give: no such command"),
    ("docs/a.md", "`edgereplay take a --from=unix:a/b.sock`\n", "--from=unix:a/b.sock is no whole path"),
    ("CHANGELOG.md", "`edgereplay take --gone`\n", "--gone is none of its flags"),
    ("config/a.service", "ExecStop=/bin/sh -c 'exec edgereplay take a'\n", "--from is missing"),
]

judge(Commands, TREE, WRONG, "wrong command lines")
