"""man.py BUILD PAGE: writes the manual page edgereplayd.8 or edgereplay.1 to stdout, from what the programs in BUILD say of
themselves: every option of the one (--print-config), every command of the other (--help), so that none is forgotten.
"""
import re
import subprocess
import sys

DAEMON = """
.SH NAME
edgereplayd \\- sync daemon for offline-first apps
.SH SYNOPSIS
.B edgereplayd
.RI [ FLAG "]... [" \\-\\-section.key=value ]...
.SH DESCRIPTION
.B edgereplayd
keeps logs of actions for apps that must work offline. Phones send what they did, in a chain of hashes; the daemon verifies the
chain, stores the actions in its data directory, and answers with the log's newest position, its state hash and a timestamp.
What it answered with 200 is on the disk.
.PP
It stays in the foreground, logs to stderr, one line an event, and serves HTTP/1.1 at
.B server.listen
and its operator (health, readiness, metrics, backups, removals) at
.BR admin.listen ;
Prometheus alone at
.BR admin.metrics_listen .
As it comes it has no authentication and serves this machine only: see
.BR auth.mode .
.SH FLAGS
%(flags)s
.SH CONFIGURATION
Later wins: the defaults, the file of
.B \\-\\-config
(INI: [section], key = value), the environment
.RI (EDGEREPLAY_ SECTION _ KEY ,
in capitals), the flags. %(sizes)s What is unknown or out of range stops the start.
%(options)s
.SH SIGNALS
.TP
SIGTERM, SIGINT
Drains: no new connections, what is under way is committed and answered, then exit 0.
.TP
SIGHUP
Reads the configuration, keys, secrets and certificates again. Options that are marked reloadable take effect.
.SH EXIT STATUS
.TP
0
It was told to stop, and all that was accepted is at rest.
.TP
1
It could not start (also for what the configuration names: a key, an address that is refused), or a shard could not be brought to rest;
the log says why.
.TP
2
An option is unknown or out of range, or \-\-check\-config has found what would refuse the start; stderr names each place.
.SH ENVIRONMENT
.TP
LISTEN_FDS, LISTEN_PID
A listening socket that systemd passes; it is used instead of
.BR server.listen .
.TP
NOTIFY_SOCKET, WATCHDOG_USEC
Where systemd is told that the daemon is ready, reloads, stops, and is alive: it is, as long as each of the threads that
serve comes round.
.SH FILES
.TP
.I /etc/edgereplay/edgereplay.ini
The configuration of the service.
.TP
.I /var/lib/edgereplay
Its data. The files of a shard (shard\\-00.db, its WAL, two journals, an anchor) belong together.
.TP
.I /var/lib/edgereplay/admin.sock
The operator's side.
.SH SEE ALSO
.BR edgereplay (1),
.BR systemd.socket (5)
"""

TOOL = """
.SH NAME
edgereplay \\- reads, writes, verifies and repairs the logs of edgereplayd
.SH SYNOPSIS
.B edgereplay
.I COMMAND
.RI [ FLAG ]...
.SH DESCRIPTION
.B edgereplay
is a complete client of
.BR edgereplayd (8),
with a state file in the place of a phone, and the operator's tool for its data.
.SH COMMANDS
%(commands)s
.SH EVERYWHERE
%(everywhere)s
.SH EXIT STATUS
%(codes)s
.SH SEE ALSO
.BR edgereplayd (8)
"""


def said(program, *arguments):
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"(?m)^\.", r"\\&.", text)


def item(head, text):
    return ".TP\n.B %s\n%s" % (roff(head), roff(text))


def options(config):
    """Of blocks: # what it is, # Range: …, key = value."""
    parts = []
    for line, section, text, span, key, value in re.findall(
            r"^(\[(\w+)\]|# (.*)\n# Range: (.*)\n(\w+) =(.*))$", config, re.MULTILINE):
        if section:
            parts.append(".SS [%s]" % section)
            prefix = section
        else:
            default = "default: " + value.strip() if value.strip() else "default: empty"
            parts.append(item("%s.%s" % (prefix, key), "%s\n(%s; %s)" % (text, span, default)))
        del line
    return "\n".join(parts)


def flags(usage):
    return "\n".join(item(*pair) for pair in re.findall(r"^  (--\S+) +(\S.*)$", usage, re.MULTILINE)
                     if not re.match(r"--\w+\.", pair[0]))


def sizes(usage):
    """The sentence that names the units."""
    return re.search(r"Sizes in bytes [^.]*\.", usage).group().replace("\n", " ")


def command(block):
    """Lines without indent are command lines, with four blanks what they do, with six a flag."""
    parts, open_text = [], None
    for line in block.split("\n"):
        flag = re.match(r" {6}(-\S.*?)(?: {2,}(\S.*))?$", line)
        if not line.startswith(" "):
            if not parts:
                parts.append(".SS " + roff(re.match(r"edgereplay((?: [a-z][a-z-]*)+)", line).group(1).strip()))
            name = line if line.startswith("edgereplay") else "edgereplay " + line
            parts.append(".PP\n.B " + roff(name))
            open_text = False
        elif flag:
            parts.append(item(flag.group(1), flag.group(2) or "").rstrip("\n"))
            open_text = True
        else:
            if not open_text:
                parts.append(".RS 4")
                open_text = "RS"
            parts.append(roff(line.strip()))
    return "\n".join(close_indents(parts))


def close_indents(parts):
    """An indent ends before the next flag, command line or section."""
    inside = False
    for part in parts:
        if inside and part.startswith((".TP", ".PP", ".SS")):
            yield ".RE"
            inside = False
        inside = inside or part == ".RS 4"
        yield part
    if inside:
        yield ".RE"


def tool_page(usage):
    blocks = [block for block in usage.strip().split("\n\n")[1:]]
    commands = [block for block in blocks if block.startswith("edgereplay ")]
    rest = [" ".join(block.split("\n")) for block in blocks if not block.startswith("edgereplay ")]
    everywhere = [block for block in rest if not block.startswith("Exit codes: ")]
    codes = [block[len("Exit codes: "):].rstrip(".").split("; ") for block in rest if block.startswith("Exit codes: ")]
    return TOOL % {"commands": "\n".join(map(command, commands)), "everywhere": "\n.PP\n".join(map(roff, everywhere)),
                   "codes": "\n".join(item(*code.split(" ", 1)) for code in codes[0])}


def main():
    build, page = sys.argv[1:]
    name, section = page.rsplit(".", 1)
    program = "%s/%s" % (build, name)
    usage = said(program, "--help")
    print('.TH %s %s "" "%s" "Edgereplay"' % (name.upper(), section, said(program, "--version").strip()), end="")
    print(tool_page(usage) if name == "edgereplay" else
          DAEMON % {"flags": flags(usage), "sizes": sizes(usage), "options": options(said(program, "--print-config"))}, end="")


main()
