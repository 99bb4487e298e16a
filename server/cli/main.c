/*
 * main: the command line of edgereplay.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "chain/chain.h"
#include "cli/cli.h"
#include "cli/report.h"

#define BATCH_MAX 100000
#define GIVE_UP_SEC_MAX 31536000
#define SHARD_MAX 255

enum flag {
	FLAG_URL = 1 << 0,
	FLAG_LOG = 1 << 1,
	FLAG_STATE = 1 << 2,
	FLAG_DEVICE = 1 << 3,
	FLAG_BATCH = 1 << 4,
	FLAG_ON_CONFLICT = 1 << 5,
	FLAG_GIVE_UP = 1 << 6,
	FLAG_RESUME = 1 << 7,
	FLAG_AFTER = 1 << 8,
	FLAG_HASH = 1 << 9,
	FLAG_UNTIL = 1 << 10,
	FLAG_QUIET = 1 << 11,
	FLAG_JSON = 1 << 12,
	FLAG_HELP = 1 << 13,
	FLAG_VERSION = 1 << 14,
	FLAG_FROM = 1 << 15,
	FLAG_OUT = 1 << 16,
	FLAG_DRY_RUN = 1 << 17,
	FLAG_SHARD = 1 << 18,
};

#define FLAGS_EVERYWHERE (FLAG_QUIET | FLAG_JSON | FLAG_HELP | FLAG_VERSION)

struct command {
	const char *name;
	enum exit_code (*run)(const struct cli_options *);
	int needs; /* flags */
	int takes; /* flags, beside those */
	int arguments_min, arguments_max;
	const char *help;
};

static const struct command COMMANDS[] = {
	{"push", cmd_push, FLAG_URL | FLAG_LOG | FLAG_STATE,
	 FLAG_DEVICE | FLAG_BATCH | FLAG_ON_CONFLICT | FLAG_GIVE_UP | FLAG_RESUME, 0, 1,
	 "push --url=URL --log=NAME --state=FILE [FILE|-]\n"
	 "    Queues actions, one JSON object a line, and syncs until the queue is empty:\n"
	 "    {\"type\":\"…\",\"payload\":\"…\"} and optionally \"ts\" in milliseconds. Without "
	 "FILE it\n"
	 "    syncs what is queued. A push that was interrupted goes on when it is started "
	 "without\n"
	 "    FILE; started again with FILE, it would queue the lines a second time: --resume "
	 "skips\n"
	 "    those that the state remembers as taken from this FILE.\n"
	 "      --device=ID        of a new state file; default: 16 random bytes in hex. The "
	 "state\n"
	 "                         file is the device: do not copy it to a second one\n"
	 "      --batch=N          actions a request at most (500)\n"
	 "      --on-conflict=rebase|reject\n"
	 "      --give-up=SECONDS  since the last success (60)\n"
	 "      --resume           skip lines already taken from this FILE\n"},
	{"pull", cmd_pull, FLAG_URL | FLAG_LOG,
	 FLAG_STATE | FLAG_AFTER | FLAG_HASH | FLAG_UNTIL | FLAG_GIVE_UP | FLAG_DEVICE, 0, 0,
	 "pull --url=URL --log=NAME [--after=SEQ --hash=LINK] [--until=SEQ|SEQ:LINK|LINK]\n"
	 "    Prints every action after SEQ, one JSON object a line, and verifies the chain as it\n"
	 "    goes. --give-up=SECONDS as above.\n"
	 "pull --url=URL --log=NAME --state=FILE [--after=SEQ]\n"
	 "    Brings the state to the log's head, pushes nothing, and prints what is new to it, "
	 "or\n"
	 "    what is after SEQ.\n"},
	{"head", cmd_head, FLAG_URL | FLAG_LOG, FLAG_GIVE_UP, 0, 0,
	 "head --url=URL --log=NAME\n"
	 "    Prints the log's newest position and its hash.\n"},
	{"status", cmd_status, FLAG_STATE, 0, 0, 0,
	 "status --state=FILE\n"
	 "    Prints what a state file holds.\n"},
	{"verify", cmd_verify, 0, 0, 1, 1,
	 "verify DIR\n"
	 "    Recomputes every link, id and head of a stopped daemon's data directory.\n"},
	{"repair", cmd_repair, FLAG_LOG, FLAG_FROM | FLAG_OUT | FLAG_DRY_RUN, 1, 1,
	 "repair DIR --log=NAME [--from=FILE] [--out=FILE] [--dry-run]\n"
	 "    Puts a damaged log of a stopped daemon's data directory right.\n"
	 "      --from=FILE        a copy: what pull printed, other NDJSON of actions, or a state "
	 "file.\n"
	 "                         Of it is taken what the log's own hashes prove. Without it the "
	 "log\n"
	 "                         is cut behind its last good action; phones push theirs again\n"
	 "      --out=FILE         gets what is cut (DIR.removed-NAME-TIME.ndjson)\n"
	 "      --dry-run          says what would be done\n"},
	{"accept-loss", cmd_accept_loss, FLAG_SHARD, FLAG_DRY_RUN, 1, 1,
	 "accept-loss DIR --shard=N [--dry-run]\n"
	 "    Makes a shard serve again that a start refuses because its files lack what they "
	 "had:\n"
	 "    says what is lost, puts aside what cannot be used (nothing is deleted), and keeps "
	 "the\n"
	 "    rest. Phones that have what is lost bring it back. First try to put the files back.\n"
	 "      --dry-run          only says what it would do\n"},
};

#define COMMAND_COUNT (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

static const struct option FLAGS[] = {
	{"url", required_argument, NULL, FLAG_URL},
	{"log", required_argument, NULL, FLAG_LOG},
	{"state", required_argument, NULL, FLAG_STATE},
	{"device", required_argument, NULL, FLAG_DEVICE},
	{"batch", required_argument, NULL, FLAG_BATCH},
	{"on-conflict", required_argument, NULL, FLAG_ON_CONFLICT},
	{"give-up", required_argument, NULL, FLAG_GIVE_UP},
	{"resume", no_argument, NULL, FLAG_RESUME},
	{"after", required_argument, NULL, FLAG_AFTER},
	{"hash", required_argument, NULL, FLAG_HASH},
	{"until", required_argument, NULL, FLAG_UNTIL},
	{"quiet", no_argument, NULL, FLAG_QUIET},
	{"json", no_argument, NULL, FLAG_JSON},
	{"help", no_argument, NULL, FLAG_HELP},
	{"version", no_argument, NULL, FLAG_VERSION},
	{"from", required_argument, NULL, FLAG_FROM},
	{"out", required_argument, NULL, FLAG_OUT},
	{"shard", required_argument, NULL, FLAG_SHARD},
	{"dry-run", no_argument, NULL, FLAG_DRY_RUN},
	{NULL, 0, NULL, 0},
};

static void
print_help(void)
{
	printf("edgereplay: replays offline actions into logs with a hash chain\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("edgereplay %s\n", COMMANDS[i].help);
	printf("URL is http://HOST:PORT, https://HOST or unix:/PATH. Everywhere: -q (--quiet), "
	       "--json,\n--help, --version, before or after the command.\n\n"
	       "Exit codes: 0 all is well; 1 something did not verify, was refused, set aside or "
	       "is\n"
	       "damaged; 2 wrong usage; 3 the server was not reached, or not in time; 4 a local\n"
	       "file cannot be read or written.\n");
}

static bool
set_number(const char *name, uint64_t min, uint64_t max, uint64_t *value)
{
	if (text_to_u64(text_of(optarg), max, value) && *value >= min)
		return true;
	report_error("--%s=%s: an integer from %llu to %llu is needed", name, optarg,
		     (unsigned long long)min, (unsigned long long)max);
	return false;
}

static bool
set_name(const char *name, bool (*is_valid)(struct text), const char **value)
{
	*value = optarg;
	if (is_valid(text_of(optarg)))
		return true;
	report_error("--%s=%s: not a valid name", name, optarg);
	return false;
}

static bool
set_on_conflict(struct cli_options *options)
{
	options->reject = strcmp(optarg, "reject") == 0;
	if (options->reject || strcmp(optarg, "rebase") == 0)
		return true;
	report_error("--on-conflict=%s: rebase or reject is needed", optarg);
	return false;
}

/* Stores one flag's value; false when it is wrong (reported). */
static bool
set_flag(struct cli_options *options, enum flag flag)
{
	switch (flag) {
	case FLAG_URL:
		options->url = optarg;
		return true;
	case FLAG_LOG:
		return set_name("log", log_name_is_valid, &options->log);
	case FLAG_STATE:
		options->state = optarg;
		return true;
	case FLAG_DEVICE:
		return set_name("device", device_is_valid, &options->device);
	case FLAG_BATCH:
		return set_number("batch", 1, BATCH_MAX, &options->batch);
	case FLAG_ON_CONFLICT:
		return set_on_conflict(options);
	case FLAG_GIVE_UP:
		return set_number("give-up", 0, GIVE_UP_SEC_MAX, &options->give_up_sec);
	case FLAG_RESUME:
		options->resume = true;
		return true;
	case FLAG_AFTER:
		options->has_after = true;
		return set_number("after", 0, SEQ_MAX, &options->after);
	case FLAG_HASH:
		options->hash = optarg;
		return true;
	case FLAG_UNTIL:
		options->until = optarg;
		return true;
	case FLAG_QUIET:
		options->quiet = true;
		return true;
	case FLAG_JSON:
		options->json = true;
		return true;
	case FLAG_FROM:
		options->from = optarg;
		return true;
	case FLAG_OUT:
		options->out = optarg;
		return true;
	case FLAG_SHARD:
		return set_number("shard", 0, SHARD_MAX, &options->shard);
	case FLAG_DRY_RUN:
		options->dry_run = true;
		return true;
	case FLAG_HELP:
	case FLAG_VERSION:
		return true;
	}
	return false;
}

static const struct command *
find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(COMMANDS[i].name, name) == 0)
			return &COMMANDS[i];
	}
	report_error("%s: no such command; see edgereplay --help", name);
	return NULL;
}

/* Whether the command has the flags and arguments it needs, and no others. */
static bool
check_usage(const struct command *command, int given, int arguments)
{
	int missing = command->needs & ~given;
	int foreign = given & ~(command->needs | command->takes | FLAGS_EVERYWHERE);

	for (size_t i = 0; FLAGS[i].name != NULL; i++) {
		if ((missing & FLAGS[i].val) != 0) {
			report_error("%s: --%s is needed", command->name, FLAGS[i].name);
			return false;
		}
		if ((foreign & FLAGS[i].val) != 0) {
			report_error("%s: --%s does not belong here", command->name, FLAGS[i].name);
			return false;
		}
	}
	if (arguments < command->arguments_min || arguments > command->arguments_max) {
		report_error("%s: %s; see edgereplay --help", command->name,
			     arguments < command->arguments_min ? "an argument is missing"
								: "too many arguments");
		return false;
	}
	return true;
}

int
main(int argc, char **argv)
{
	struct cli_options options = {.batch = 500, .give_up_sec = 60};
	const struct command *command;
	int given = 0;
	int flag;

	for (;;) {
		flag = getopt_long(argc, argv, "q", FLAGS, NULL);
		if (flag == -1)
			break;
		if (flag == '?')
			return EXIT_USAGE;
		if (flag == 'q')
			flag = FLAG_QUIET;
		if (!set_flag(&options, (enum flag)flag))
			return EXIT_USAGE;
		given |= flag;
	}
	if ((given & FLAG_HELP) != 0) {
		print_help();
		return EXIT_FINE;
	}
	if ((given & FLAG_VERSION) != 0) {
		printf("edgereplay " EDGEREPLAY_VERSION "\n");
		return EXIT_FINE;
	}
	if (optind == argc) {
		report_error("a command is needed; see edgereplay --help");
		return EXIT_USAGE;
	}
	command = find_command(argv[optind]);
	if (command == NULL || !check_usage(command, given, argc - optind - 1))
		return EXIT_USAGE;
	if (optind + 1 < argc)
		options.argument = argv[optind + 1];
	report_configure(options.quiet);
	return (int)command->run(&options);
}
