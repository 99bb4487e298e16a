/* limits: edgereplay-limits, the program: one limit a run. */
#include "loadtest/limits.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/text.h"

#define EXIT_FAILED 1
#define EXIT_USAGE 2

enum limit { HTTP = 1, INSERT = 2, HASH = 4, APPEND = 8, EVERY = 15 };

static const struct {
	const char *name;
	enum limit limit;
	bool (*measure)(const struct limits_plan *, struct figures *);
	const char *text;
} LIMITS[] = {
	{"http", HTTP, limits_http, "libmicrohttpd answers a constant to the POST of a sync."},
	{"insert", INSERT, limits_insert, "SQLite takes the rows in bulk, in the shards' schema."},
	{"hash", HASH, limits_hash, "Digests and links of the same actions."},
	{"append", APPEND, limits_append, "A file grows piece by piece, each followed by a sync."},
};

#define LIMIT_COUNT (sizeof(LIMITS) / sizeof(LIMITS[0]))

#define FLAG(limits, name, type, initial, min, max, unit, text)                                    \
	{                                                                                          \
		limits,                                                                            \
		{                                                                                  \
			"", #name, offsetof(struct limits_plan, name), initial, min, max, NULL,    \
				unit, type, false, text                                            \
		}                                                                                  \
	}

static const struct {
	unsigned limits; /* which take it */
	struct option option;
} FLAGS[] = {
	FLAG(HTTP | INSERT, actions, OPTION_NUMBER, "1", 1, LIMITS_ACTIONS_MAX, "actions",
	     "Actions a request, or a batch."),
	FLAG(HTTP | INSERT | HASH, payload, OPTION_NUMBER, "96", 32, 4096, "bytes",
	     "Payload an action; its content is 24 bytes more: stamp, device and type."),
	FLAG(INSERT | HASH, rows, OPTION_NUMBER, "1000000", 1, 1000000000, "actions",
	     "Actions in all."),
	FLAG(INSERT, logs, OPTION_NUMBER, "64", 1, LIMITS_LOGS_MAX, "logs",
	     "Logs that the batches go to in turn."),
	FLAG(INSERT | APPEND, dir, OPTION_TEXT, ".", 1, OPTION_TEXT_SIZE - 64, "bytes of text",
	     "Folder in which the file is made, and removed at the end."),
	FLAG(HTTP, connections, OPTION_NUMBER, "64", 1, LIMITS_CONNECTIONS_MAX, "connections",
	     "Connections of the client, each with one request under way."),
	FLAG(HTTP, threads, OPTION_NUMBER, "2", 1, 64, "threads", "Threads of the server."),
	FLAG(HTTP, suspend, OPTION_BOOL, "false", 0, 1, "",
	     "Each request is suspended, and resumed by another thread."),
	FLAG(HTTP, hold_usec, OPTION_NUMBER, "0", 0, 1000000, "microseconds",
	     "How long that thread rests before it resumes all that wait."),
	FLAG(HTTP, warmup, OPTION_NUMBER, "1", 0, 60, "seconds", "Not measured."),
	FLAG(HTTP, duration, OPTION_NUMBER, "3", 1, 3600, "seconds", "Measured."),
	FLAG(APPEND, size, OPTION_BYTES, "8KiB", 1, 64 * 1024 * 1024, "bytes", "Bytes a piece."),
	FLAG(APPEND, count, OPTION_NUMBER, "2000", 1, 10000000, "pieces", "How many."),
	FLAG(EVERY, json, OPTION_BOOL, "false", 0, 1, "", "One line of JSON instead of a table."),
};

#define FLAG_COUNT (sizeof(FLAGS) / sizeof(FLAGS[0]))

void
figures_add(struct figures *figures, const char *name, double value)
{
	CHECK(figures->count < LIMITS_FIGURES_MAX);
	figures->list[figures->count++] = (struct figure){name, value};
}

bool
limits_failed(const char *what, const char *why)
{
	(void)fprintf(stderr, "edgereplay-limits: %s: %s\n", what, why);
	return false;
}

double
limits_clock_sec(int clock)
{
	struct timespec time;
	CHECK(clock_gettime(clock, &time) == 0);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void
print_help(void)
{
	printf("usage: edgereplay-limits LIMIT [--name=value]...\n\n"
	       "Measures what this machine allows, for comparison with the daemon's figures.\n");
	for (size_t i = 0; i < LIMIT_COUNT; i++) {
		printf("\n%s: %s\n", LIMITS[i].name, LIMITS[i].text);
		for (size_t k = 0; k < FLAG_COUNT; k++) {
			const struct option *option = &FLAGS[k].option;
			if ((FLAGS[k].limits & LIMITS[i].limit) == 0)
				continue;
			printf("  --%s=%s\n      %s (", option->key, option->initial, option->text);
			option_print_range(option, stdout);
			printf(")\n");
		}
	}
}

/* Takes --name=value, or --name for --name=true. False when it is wrong (reported). */
static bool
read_flag(enum limit limit, const char *argument, struct limits_plan *plan)
{
	struct text value = text_of(argument);
	if (value.size < 2 || memcmp(value.data, "--", 2) != 0)
		return limits_failed(argument, "not an option");
	struct text rest = {value.data + 2, value.size - 2};
	bool has_value = memchr(rest.data, '=', rest.size) != NULL;
	struct text key = text_cut(&rest, '=');
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		const struct option *option = &FLAGS[i].option;
		if ((FLAGS[i].limits & limit) == 0 || !text_equal(key, text_of(option->key)))
			continue;
		if (!has_value && option->type == OPTION_BOOL)
			rest = TEXT("true");
		if (option_parse(option, rest, plan))
			return true;
		(void)fprintf(stderr, "edgereplay-limits: %s: allowed is ", argument);
		option_print_range(option, stderr);
		(void)fprintf(stderr, "\n");
		return false;
	}
	return limits_failed(argument, "no such option of this limit");
}

static void
print_figures(const char *limit, bool json, const struct figures *figures)
{
	if (json)
		printf("{\"limit\": \"%s\"", limit);
	for (size_t i = 0; i < figures->count; i++) {
		const struct figure *figure = &figures->list[i];
		if (json)
			printf(", \"%s\": %.9g", figure->name, figure->value);
		else
			printf("%-24s %14.6g\n", figure->name, figure->value);
	}
	if (json)
		printf("}\n");
}

static int
run(size_t index, char **arguments, int count)
{
	static struct limits_plan plan;
	struct figures figures = {.count = 0};
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		const struct option *option = &FLAGS[i].option;
		CHECK(option_parse(option, text_of(option->initial), &plan));
	}
	for (int i = 0; i < count; i++) {
		if (!read_flag(LIMITS[index].limit, arguments[i], &plan))
			return EXIT_USAGE;
	}
	if (!LIMITS[index].measure(&plan, &figures))
		return EXIT_FAILED;
	print_figures(LIMITS[index].name, plan.json, &figures);
	return fflush(stdout) == 0 ? 0 : EXIT_FAILED;
}

int
main(int argc, char **argv)
{
	if (sodium_init() == -1) {
		(void)limits_failed("libsodium", "does not start");
		return EXIT_FAILED;
	}
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return 0;
	}
	for (size_t i = 0; argc > 1 && i < LIMIT_COUNT; i++) {
		if (strcmp(argv[1], LIMITS[i].name) == 0)
			return run(i, argv + 2, argc - 2);
	}
	(void)limits_failed(argc > 1 ? argv[1] : "a limit is needed",
			    "see edgereplay-limits --help");
	return EXIT_USAGE;
}
