#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "cli/flags.h"

#define ARGUMENTS_MAX 100000

/* The texts stand as they are printed. */
/* clang-format off */
static const struct command COMMANDS[] = {
	{"push", cmd_push, BIT(FLAG_URL) | BIT(FLAG_LOG) | BIT(FLAG_STATE),
	 BIT(FLAG_DEVICE) | BIT(FLAG_BATCH) | BIT(FLAG_ON_CONFLICT) | BIT(FLAG_GIVE_UP) |
		 BIT(FLAG_RESUME) | BIT(FLAG_RECEIPT) | BIT(FLAG_DIGEST) | BIT(FLAG_APP) |
		 BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE) | BIT(FLAG_SNAPSHOT),
	 0, 1,
	 "push --url=URL --log=NAME --state=FILE [FILE|-]\n"
	 "    Queues actions, one JSON object a line, and syncs until the queue is empty:\n"
	 "    {\"type\":\"…\",\"payload\":\"…\"} and optionally \"ts\" in milliseconds. Without FILE it\n"
	 "    syncs what is queued. A push that was interrupted goes on when it is started without\n"
	 "    FILE; started again with FILE, it would queue the lines a second time: --resume skips\n"
	 "    those that the state remembers as taken from this FILE.\n"
	 "      --device=ID        of a new state file; default: 16 random bytes in hex. The state\n"
	 "                         file is the device: do not copy it to a second one\n"
	 "      --batch=N          actions a request at most (500)\n"
	 "      --on-conflict=rebase|reject\n"
	 "      --give-up=SECONDS  since the last success (60); 0: one try\n"
	 "      --resume           skip lines already taken from this FILE\n"
	 "      --receipt=FILE     ask for receipts, and keep the newest one there\n"
	 "      --snapshot=FILE    where the log is pruned behind the state's base, go on from the log's\n"
	 "                         newest snapshot, which is written to FILE\n"
	 "      --digest=HEX --app=VERSION\n"
	 "                         what an app's reducer makes of what the state file has confirmed\n"
	 "                         (replay --state), up to 64 digits: the server compares it with\n"
	 "                         what other devices said; exit code 1 when they differ\n"},
	{"pull", cmd_pull, BIT(FLAG_URL) | BIT(FLAG_LOG),
	 BIT(FLAG_STATE) | BIT(FLAG_AFTER) | BIT(FLAG_HASH) | BIT(FLAG_UNTIL) | BIT(FLAG_GIVE_UP) |
		 BIT(FLAG_DEVICE) | BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE) | BIT(FLAG_SNAPSHOT),
	 0, 0,
	 "pull --url=URL --log=NAME [--after=SEQ --hash=LINK] [--until=SEQ|SEQ:LINK|LINK]\n"
	 "    Prints every action after SEQ, one JSON object a line, and verifies the chain as it\n"
	 "    goes. --give-up=SECONDS as above.\n"
	 "pull --url=URL --log=NAME --state=FILE [--after=SEQ]\n"
	 "    Brings the state to the log's head, pushes nothing, and prints what is new to it, or\n"
	 "    what is after SEQ.\n"
	 "      --snapshot=FILE    a state that has confirmed nothing begins from the log's newest\n"
	 "                         snapshot, which is written to FILE; if there is none, from the start.\n"
	 "                         A state that the log is pruned behind goes on from it; what is queued stays\n"},
	{"head", cmd_head, BIT(FLAG_URL) | BIT(FLAG_LOG), BIT(FLAG_GIVE_UP) | BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE),
	 0, 0,
	 "head --url=URL --log=NAME\n"
	 "    Prints the log's newest position and its hash.\n"},
	{"health", cmd_health, BIT(FLAG_URL), BIT(FLAG_LIVE) | BIT(FLAG_GIVE_UP) | BIT(FLAG_CA_FILE), 0, 0,
	 "health --url=URL [--live]\n"
	 "    Asks a daemon's operator's side (admin.listen: unix:DIR/admin.sock, unless told otherwise)\n"
	 "    whether traffic should be sent to it, and prints the answer. Exit code 0: yes; 1: no, and\n"
	 "    it says why; 3: nobody answers.\n"
	 "      --live             whether it answers at all, ready or not\n"},
	{"status", cmd_status, BIT(FLAG_STATE), 0, 0, 0,
	 "status --state=FILE\n"
	 "    Prints what a state file holds.\n"},
	{"verify", cmd_verify, 0, 0, 1, 1,
	 "verify DIR\n"
	 "    Recomputes every link, id and head of a stopped daemon's data directory, and the\n"
	 "    checksum of every snapshot. A prune or erasure that was cut off is named, and is no\n"
	 "    finding: exit code 0. The daemon ends it when it runs.\n"},
	{"repair", cmd_repair, BIT(FLAG_LOG), BIT(FLAG_FROM) | BIT(FLAG_OUT) | BIT(FLAG_DRY_RUN), 1,
	 1,
	 "repair DIR --log=NAME [--from=FILE] [--out=FILE] [--dry-run]\n"
	 "    Puts a damaged log of a stopped daemon's data directory right.\n"
	 "      --from=FILE        a copy: what pull printed, other NDJSON of actions, or a state file.\n"
	 "                         Of it is taken what the log's own hashes prove. Without it the log\n"
	 "                         is cut behind its last good action; phones push theirs again\n"
	 "                         A malformed file is replaced by a new one of all that can be read;\n"
	 "                         the old one is kept beside it. Exit code 0: all of the shard is whole\n"
	 "      --out=FILE         gets what is cut, or fits no log (DIR.removed-NAME-TIME.ndjson)\n"
	 "      --dry-run          says what would be done\n"},
	{"accept-loss", cmd_accept_loss, BIT(FLAG_SHARD), BIT(FLAG_DRY_RUN), 1, 1,
	 "accept-loss DIR --shard=N [--dry-run]\n"
	 "    Makes a shard serve again that a start refuses because its files lack what they had:\n"
	 "    says what is lost, puts aside what cannot be used (nothing is deleted), and keeps the\n"
	 "    rest. Phones that have what is lost bring it back. First try to put the files back.\n"
	 "      --dry-run          only says what it would do\n"},
	{"keygen", cmd_keygen, BIT(FLAG_NAME), 0, 1, 1,
	 "keygen --name=SERVER FILE\n"
	 "    Makes a key that signs receipts in a new FILE of mode 0600 (receipts.key), and prints the\n"
	 "    key that verifies them. To change keys: append the new one's line to the daemon's file,\n"
	 "    SIGHUP; both sign until the old line is taken out.\n"},
	{"receipt verify", cmd_receipt_verify, BIT(FLAG_VKEY),
	 BIT(FLAG_LOG) | BIT(FLAG_URL) | BIT(FLAG_DATA) | BIT(FLAG_GIVE_UP) |
		 BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE),
	 1, 1,
	 "receipt verify --vkey=VKEY [--log=NAME] [--url=URL | --data=DIR] FILE|-\n"
	 "    Says whether a receipt is signed by a key (--vkey again for others), and whether the log\n"
	 "    of a running server, or of a stopped one's data directory, contains what was receipted:\n"
	 "    its actions are chained again up to there, no stored hash is believed.\n"
	 "      --log=NAME         the receipt must be for this log\n"},
	{"export", cmd_export, 0,
	 BIT(FLAG_FROM) | BIT(FLAG_OUT) | BIT(FLAG_GIVE_UP) | BIT(FLAG_CHECK) | BIT(FLAG_VKEY) |
		 BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE),
	 1, 1,
	 "export LOG --from=URL|DIR|FILE [--out=FILE[.gz]]\n"
	 "    Writes a log as a file that can be verified by itself: NDJSON with the log's name and\n"
	 "    genesis in the first line, an action a line with its link, and the state hash in the\n"
	 "    last one; from a server also its receipt, where it gives them. FILE is there whole or\n"
	 "    not at all (a pipe or a device stays one, and gets everything at once); a stream that is cut\n"
	 "    is gone on with. Without --out it is stdout.\n"
	 "      --from=URL|DIR|FILE  a server; the data directory of a stopped daemon; another export\n"
	 "                         or a phone's state file\n"
	 "export --check FILE [--vkey=VKEY]\n"
	 "    Verifies such a file: every link, id and hash, and who signed the receipt. Exit code 1:\n"
	 "    it was changed, or cut off.\n"},
	{"import", cmd_import, BIT(FLAG_URL),
	 BIT(FLAG_AS) | BIT(FLAG_BATCH) | BIT(FLAG_GIVE_UP) | BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE),
	 1, 1,
	 "import FILE --url=URL [--as=NAME]\n"
	 "    Gives an export to a server, as a phone would that holds the whole log: what the server\n"
	 "    has is not applied again, what it lacks is appended, with the actions' own devices and\n"
	 "    stamps. A FILE that does not verify is refused before anything is sent. It may be run\n"
	 "    again, and after an interruption goes on. HTTP cannot carry times of receipt, writers and\n"
	 "    receipts: the new server gives its own. Exit code 1: the server refused an action; or one in\n"
	 "    FILE is redacted: no server takes it without its content. export --check verifies such a FILE,\n"
	 "    and backup and restore bring such a log to another server.\n"
	 "      --as=NAME          into another log; its chain is then made anew: no link, state hash or\n"
	 "                         receipt of the old one holds for it\n"
	 "      --batch=N          actions a request at most (500)\n"},
	{"replay", cmd_replay, BIT(FLAG_FROM),
	 BIT(FLAG_UNTIL) | BIT(FLAG_REDUCER) | BIT(FLAG_GIVE_UP) | BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE),
	 0, 1,
	 "replay LOG --from=URL|DIR|FILE [--until=SEQ|SEQ:LINK|LINK] [--reducer=CMD]\n"
	 "    Gives a log's actions, up to the state that a hash names (of a crash report, say), to a\n"
	 "    program: one JSON object a line on its stdin, with seq, device, ts, type, payload, id,\n"
	 "    link, and where they are known receivedAt and writer. What it prints is printed, and the\n"
	 "    state hash on stderr; with --json both are one object. When something does not verify,\n"
	 "    or until is not in the log, the program is killed: it never sees an end that is none.\n"
	 "    Exit code 5: it failed. A FILE says itself of which LOG it is. What is redacted, or pruned in\n"
	 "    a DIR, comes with \"redacted\":true and no content, and is counted on stderr and in --json.\n"
	 "      --reducer=CMD      a command for sh; without it the actions are printed\n"
	 "      --from=URL|DIR|FILE  a server; the data directory of a stopped daemon; an export or a\n"
	 "                         phone's state file\n"},
	{"bisect", cmd_bisect, BIT(FLAG_FROM) | BIT(FLAG_WITH),
	 BIT(FLAG_GIVE_UP) | BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE), 0, 1,
	 "bisect LOG --with=FILE --from=URL|DIR|FILE\n"
	 "    Finds the first action at which a phone's copy of a log is not the server's, and shows\n"
	 "    both; or says that they are the same, or that the phone is ahead or behind by how many.\n"
	 "    What the phone's copy says of its own hashes is not believed. A server is asked for a\n"
	 "    few links only. Exit code 0: no action differs; 1: one does.\n"
	 "      --with=FILE        the phone's: its state file, an export, or what pull printed of all\n"
	 "                         its actions (then LOG is needed)\n"
	 "      --from=URL|DIR|FILE  the server; the data directory of a stopped daemon; an export\n"},
	{"stat", cmd_stat, 0, BIT(FLAG_LOG) | BIT(FLAG_GIVE_UP) | BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE), 1, 1,
	 "stat DIR\n"
	 "    Of a stopped daemon's data directory, a shard at a time: schema, logs, actions, bytes, free\n"
	 "    pages, journal, anchor, what is known to be damaged, whether a start would refuse it; and\n"
	 "    the largest logs. It verifies nothing (verify does). Exit code 1: something is damaged.\n"
	 "stat URL\n"
	 "    What a server says of itself: protocol, features, limits, policies, keys.\n"
	 "stat URL|DIR --log=LOG, stat FILE\n"
	 "    The figures of one log: actions, bytes, times of receipt, devices. Every action is read\n"
	 "    and verified for them.\n"},
	{"backup", cmd_backup, 0, BIT(FLAG_ADMIN) | BIT(FLAG_TO) | BIT(FLAG_RATE) | BIT(FLAG_CA_FILE), 1,
	 1,
	 "backup DIR [--admin=unix:/PATH|HOST:PORT|URL] [--to=FOLDER] [--rate=BYTES]\n"
	 "    Makes a folder from which restore makes DIR again. A running daemon is asked to, on the\n"
	 "    socket in DIR or at --admin, and goes on serving; a stopped one's DIR is locked meanwhile.\n"
	 "    Of each shard it has everything that was acknowledged before the copy of that shard began.\n"
	 "    All of it is verified. The folder takes its name when it is whole and synced; until then\n"
	 "    it is FOLDER.partial-…, which Ctrl-C removes. Run it as the daemon's user, or as root.\n"
	 "    Exit code 1: what was backed up is damaged, and so is its copy, which is there.\n"
	 "      --to=FOLDER        on this machine, not there yet (DIR.backup-TIME)\n"
	 "      --rate=BYTES       a second, 0 for no limit (32MiB); below what DIR grows by it never ends\n"
	 "      --admin=…          of the daemon (admin.listen); then a stopped DIR is left alone\n"},
	{"restore", cmd_restore, 0, 0, 2, 2,
	 "restore BACKUP DIR\n"
	 "    Makes the data directory DIR of a backup, verified, there as a whole or not at all. DIR may\n"
	 "    be an empty folder, or one that a restore was cut off in; one that has data is refused. The\n"
	 "    files belong to DIR's owner. Phones that are ahead of the backup bring back what they have.\n"
	 "    Exit code 1: BACKUP has changed, and there is no DIR; or what was backed up was damaged.\n"},
	{"reshard", cmd_reshard, 0, BIT(FLAG_DRY_RUN), 2, 2,
	 "reshard N DIR [--dry-run]\n"
	 "    Gives a stopped daemon's directory N shards, a power of two, more or fewer. It verifies\n"
	 "    DIR, copies its logs into new shard files (DIR/shards-N), compares every row, verifies the\n"
	 "    new ones, puts them in force in one step, and removes the old ones. Cut off at any point,\n"
	 "    DIR is what it was, or what it will be; run again, it goes on with the log that it was at.\n"
	 "    reshard of the number that DIR has takes out what an unfinished one has left. What repair\n"
	 "    and accept-loss put aside in DIR/shards-N is moved to DIR. A DIR in\n"
	 "    which something does not verify is refused, with exit code 1: repair it first.\n"
	 "      --dry-run          says how long it may take and how much room it needs, and whether that\n"
	 "                         is there; changes nothing\n"},
	{"snapshot put", cmd_snapshot_put, BIT(FLAG_URL) | BIT(FLAG_LOG),
	 BIT(FLAG_STATE) | BIT(FLAG_AT) | BIT(FLAG_APP_VERSION) | BIT(FLAG_MEDIA_TYPE) |
		 BIT(FLAG_GIVE_UP) | BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE),
	 1, 1,
	 "snapshot put --url=URL --log=NAME --state=STATE|--at=SEQ:LINK FILE\n"
	 "    Gives the server what an app's state is at a position of the log, so that new devices\n"
	 "    begin there: the base of a state file, or SEQ:LINK. It is stored only if the log has\n"
	 "    that position, and on the server's disk when this ends with 0.\n"
	 "      --app-version=TEXT --media-type=TEXT\n"
	 "                         kept with it, for who reads it (application/octet-stream)\n"},
	{"snapshot get", cmd_snapshot_get, BIT(FLAG_URL) | BIT(FLAG_LOG),
	 BIT(FLAG_BEFORE) | BIT(FLAG_GIVE_UP) | BIT(FLAG_TOKEN_FILE) | BIT(FLAG_CA_FILE), 1, 1,
	 "snapshot get --url=URL --log=NAME [--before=SEQ] FILE\n"
	 "    Writes the log's newest snapshot, or the newest before SEQ, to FILE, and prints of what\n"
	 "    position it is. FILE is there whole or not at all. Exit code 1: there is none.\n"},
	{"redact", cmd_redact, 0,
	 BIT(FLAG_URL) | BIT(FLAG_DATA) | BIT(FLAG_RECORD) | BIT(FLAG_REPLAY) | BIT(FLAG_GIVE_UP) |
		 BIT(FLAG_CA_FILE),
	 0, ARGUMENTS_MAX,
	 "redact LOG SEQ… --url=URL|--data=DIR [--record=FILE]\n"
	 "    Removes the content (type and payload) of actions; SEQ is a number or a range, 17-20. What\n"
	 "    stays of each is its device, stamp, digest and link: the chain and receipts verify, and a\n"
	 "    repeat of it is a duplicate. When it ends no byte of the store's files has the content any\n"
	 "    more; phones and backups that have it are not reached. Interrupted, it is to be run again.\n"
	 "      --url=URL          a running daemon's admin listener, as unix:DIR/admin.sock\n"
	 "      --data=DIR         a stopped daemon's data directory\n"
	 "      --record=FILE      append what was removed to this list, an NDJSON line each; that of an\n"
	 "                         erasure as soon as it is in force\n"
	 "redact --replay=FILE --url=URL|--data=DIR\n"
	 "    Removes again what a list says (of erase, too): to be done after a backup was restored, before\n"
	 "    phones are let in. An action is known by its id, wherever it stands now; of an erased log what\n"
	 "    came after the erasure stays, and it is erased again unless the list opens it later. A line\n"
	 "    that cannot be read is named, and the others are done.\n"
	 "    Exit code 1: a log is not there, has not all of these actions, or is damaged; or a line is bad;\n"
	 "    or a log that the list erases has got more since, and stays open. Also, with the removal in\n"
	 "    force: files that repair or accept-loss put aside may have the content; they are named.\n"
	 "    Remove them, and run the command again.\n"},
	{"erase", cmd_erase, 0,
	 BIT(FLAG_URL) | BIT(FLAG_DATA) | BIT(FLAG_RECORD) | BIT(FLAG_REOPEN) | BIT(FLAG_GIVE_UP) |
		 BIT(FLAG_CA_FILE),
	 1, ARGUMENTS_MAX,
	 "erase LOG… --url=URL|--data=DIR [--record=FILE]\n"
	 "    Removes the content of all of a log's actions, as redact does. Whoever reads or writes the log\n"
	 "    is answered 410 ERASED from then on, with a tombstone that the server's key signs. A log that\n"
	 "    is not there is erased, too, and it is said: after a restore phones may still have it.\n"
	 "    What repair took out of it (DIR.removed-LOG-…) goes too. Exit code 1, with the erasure in\n"
	 "    force: other files that were put aside may have content of it; they are named. Remove them,\n"
	 "    and run the command again.\n"
	 "erase LOG… --reopen --url=URL|--data=DIR [--record=FILE]\n"
	 "    Lets an erased log take actions again, behind those whose content is gone: phones that hold\n"
	 "    the old history do not bring it back, since to the log it is a repeat. A list that has the\n"
	 "    erasure should have this too: else redact --replay leaves the log erased.\n"},
	{"prune", cmd_prune, 0,
	 BIT(FLAG_BEFORE) | BIT(FLAG_URL) | BIT(FLAG_DATA) | BIT(FLAG_OLDER_THAN) |
		 BIT(FLAG_WITHOUT_SNAPSHOT) | BIT(FLAG_ALL) | BIT(FLAG_GIVE_UP) | BIT(FLAG_CA_FILE),
	 0, ARGUMENTS_MAX,
	 "prune LOG…|--all [--before=SEQ] [--older-than=DAYS] --url=URL|--data=DIR\n"
	 "    Removes the content of a log's actions up to the oldest snapshot that is kept of it, as\n"
	 "    redact does. Whoever asks for them is answered 410 PRUNED, with where the log begins now,\n"
	 "    and goes on from a snapshot. Exit code 1: there is none that stands for them.\n"
	 "      --all              every log that has a snapshot\n"
	 "      --before=SEQ       the first action that stays, if a snapshot is there or later\n"
	 "      --older-than=DAYS  only what was received so long ago\n"
	 "      --without-snapshot though no new device can begin then, and no old one go on\n"},
	{"token keygen", cmd_token_keygen, BIT(FLAG_KEY), BIT(FLAG_JWKS), 0, 0,
	 "token keygen --key=FILE [--jwks=FILE]\n"
	 "    Makes an Ed25519 key for signing tokens, and its JWK Set for the daemon (auth.jwks_file),\n"
	 "    which is printed without --jwks. No file is overwritten.\n"},
	{"token mint", cmd_token_mint, BIT(FLAG_KEY) | BIT(FLAG_SUBJECT),
	 BIT(FLAG_ISSUER) | BIT(FLAG_AUDIENCE) | BIT(FLAG_SCOPE) | BIT(FLAG_LOGS) |
		 BIT(FLAG_LOGS_RO) | BIT(FLAG_DEVICE) | BIT(FLAG_EXPIRES),
	 0, 0,
	 "token mint --key=FILE --sub=NAME\n"
	 "    Prints a token that is signed with the key.\n"
	 "      --logs=A,B,TEAM-*  other logs to write; --logs-ro=… to read\n"
	 "      --device=ID        the only device that a batch may name as its own\n"
	 "      --scope=WORDS --iss=TEXT --aud=TEXT\n"
	 "      --expires=SECONDS  from now (3600)\n"},
};
/* clang-format on */

#define COMMAND_COUNT (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

const struct command *
command_find(char **words, int *count)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const char *name = COMMANDS[i].name;
		const char *space = strchr(name, ' ');
		const size_t size = space != NULL ? (size_t)(space - name) : strlen(name);

		*count = space != NULL ? 2 : 1;
		if (strlen(words[0]) == size && strncmp(words[0], name, size) == 0 &&
		    (space == NULL || (words[1] != NULL && strcmp(words[1], space + 1) == 0)))
			return &COMMANDS[i];
	}
	return NULL;
}

/* What all commands have in common. */
static void
print_rest(void)
{
	printf("What asks a server sends a token if one is in --token-file=FILE or in the "
	       "environment's\n"
	       "EDGEREPLAY_TOKEN. URL is http://HOST:PORT, https://HOST or unix:/PATH; the "
	       "certificate of https\n"
	       "must be of an authority that the system knows; or, with --ca-file=FILE, of one in "
	       "FILE (PEM).\n"
	       "Everywhere: -q (--quiet), --json, --help, --version, before or after the command.\n"
	       "With --json a command that fails and has no other answer prints "
	       "{\"error\":\"…\"}.\n\n"
	       "Exit codes: 0 all is well; 1 something did not verify, was refused, set aside or "
	       "is\n"
	       "damaged; 2 wrong usage; 3 the server was not reached, or not in time, or does not "
	       "let\n"
	       "in; 4 a local file cannot be read or written; 5 the program that was run "
	       "failed.\n");
}

void
command_print_help(const struct command *command)
{
	if (command != NULL) {
		printf("edgereplay %s\n", command->help);
	} else {
		printf("edgereplay: replays offline actions into logs with a hash chain\n\n");
		for (size_t i = 0; i < COMMAND_COUNT; i++)
			printf("edgereplay %s\n", COMMANDS[i].help);
	}
	print_rest();
}

bool
command_print_help_of_word(const char *word)
{
	const size_t size = strlen(word);
	bool found = false;

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const char *name = COMMANDS[i].name;

		if (strncmp(name, word, size) != 0 || name[size] != ' ')
			continue;
		printf("edgereplay %s\n", COMMANDS[i].help);
		found = true;
	}
	if (found)
		print_rest();
	return found;
}
