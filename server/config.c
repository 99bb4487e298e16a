#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "base/option.h"
#include "base/settings.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TEXT_MAX (CONFIG_TEXT_SIZE - 1)
#define TAIL_ACTION_SIZE 512	/* more than what the tail keeps of an action besides its payload */
#define INFLATE_SIZE (48 * KIB) /* what inflating a body takes (http/body.h) */

static_assert(CONFIG_TEXT_SIZE == OPTION_TEXT_SIZE, "a text fits its option");
static_assert(sizeof(enum auth_mode) == sizeof(unsigned) &&
		      sizeof(enum log_level) == sizeof(unsigned) &&
		      sizeof(enum log_format) == sizeof(unsigned),
	      "a choice is stored as unsigned");

static const char *const auth_modes[] = {"none", "jwt", "proxy", NULL};
static const char *const forwarded_headers[] = {"x-forwarded-for", "forwarded", "none", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"logfmt", "json", NULL};

/* NOLINTBEGIN(bugprone-macro-parentheses): s.k names a member */
#define ROW(s, k, kind, value, low, high, measure, again, words)                                   \
	{                                                                                          \
		.section = #s, .key = #k, .offset = offsetof(struct config, s.k),                  \
		.initial = (value), .min = (low), .max = (high), .unit = (measure),                \
		.type = (kind), .reloadable = (again), .text = (words)                             \
	}
#define CHOICE(s, k, names, value, again, words)                                                   \
	{                                                                                          \
		.section = #s, .key = #k, .offset = offsetof(struct config, s.k),                  \
		.initial = (value), .max = sizeof(names) / sizeof((names)[0]) - 2,                 \
		.choices = (names), .type = OPTION_CHOICE, .reloadable = (again), .text = (words)  \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

static const struct option config_options[] = {
	ROW(server, listen, OPTION_TEXT, "127.0.0.1:8080", 1, TEXT_MAX, "bytes of text", false,
	    "Where to listen: host:port, [address]:port or unix:/path; port 0 takes a free one."),
	ROW(server, socket_mode, OPTION_OCTAL, "0660", 0, 0777, "octal", false,
	    "Mode of the unix socket: who may connect to it."),
	ROW(server, threads, OPTION_NUMBER, "2", 1, 64, "threads", false,
	    "HTTP threads; they also verify batches, so about one a core."),
	ROW(server, connections, OPTION_NUMBER, "4096", 1, 1000000, "connections", false,
	    "Open connections at most; each is a file descriptor, which the start checks."),
	ROW(server, address_connections, OPTION_NUMBER, "0", 0, 1000000, "connections", false,
	    "The same of one address (of IPv6: one /64); 0: no limit, as behind a proxy."),
	ROW(server, idle_sec, OPTION_NUMBER, "75", 1, 3600, "seconds", false,
	    "A connection without traffic is closed after this; longer than a proxy's own."),
	ROW(server, header_sec, OPTION_NUMBER, "10", 1, 3600, "seconds", false,
	    "A request's head must be here within this, a TLS handshake included; else 408."),
	ROW(server, body_sec, OPTION_NUMBER, "30", 1, 3600, "seconds", false,
	    "Its body within this, and a second more for each least_rate bytes; else 408."),
	ROW(server, send_sec, OPTION_NUMBER, "30", 1, 3600, "seconds", false,
	    "Who takes less of an answer in this than send_sec * least_rate bytes is cut."),
	ROW(server, least_rate, OPTION_BYTES, "2KiB", 1, GIB, "bytes a second", false,
	    "The slowest connection that is served."),
	ROW(server, header_bytes, OPTION_BYTES, "8KiB", 4 * KIB, MIB, "bytes", false,
	    "Memory a connection has for its request's headers; beyond it 431."),
	ROW(server, body_memory, OPTION_BYTES, "64MiB", 128 * KIB, 1024 * GIB, "bytes", false,
	    "Request bodies in memory over all connections; beyond it 429."),
	ROW(server, answer_memory, OPTION_BYTES, "64MiB", MIB, 1024 * GIB, "bytes", false,
	    "Larger answers that clients have not taken yet; beyond it 429. A page ends at half."),
	ROW(server, drain_bytes, OPTION_BYTES, "4MiB", 0, GIB, "bytes", false,
	    "How much of a refused body is read on, so that the answer arrives."),
	ROW(server, drain_sec, OPTION_NUMBER, "8", 0, 600, "seconds", false,
	    "How long a stop waits for clients; the exit comes within 2 seconds after it."),
	ROW(server, cors_origins, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "Web pages that may read answers: origins, spaces between; empty: none."),
	ROW(server, cors_max_age_sec, OPTION_NUMBER, "600", 0, 86400, "seconds", false,
	    "How long their browsers remember that they may."),
	ROW(server, tls_cert, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "PEM file of the TLS certificate and its chain; empty: clear text. SIGHUP reads it "
	    "again."),
	ROW(server, tls_key, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "PEM file of its key."),

	ROW(store, dir, OPTION_TEXT, "./data", 1, TEXT_MAX, "bytes of text", false,
	    "The data directory; made when it is absent, locked while the daemon runs."),
	ROW(store, shards, OPTION_NUMBER, "1", 1, 256, "shards, a power of two", false,
	    "Files, each written by threads of its own; fixed when the data directory is made."),
	ROW(store, queue, OPTION_NUMBER, "1024", 1, 1000000, "requests", false,
	    "Requests that wait for a shard's writer; beyond it 429."),
	ROW(store, tail_bytes, OPTION_BYTES, "32MiB", 64 * KIB, 64 * GIB, "bytes", false,
	    "Memory a shard has for actions stored in the journal and not yet sorted in."),
	ROW(store, group, OPTION_NUMBER, "256", 1, 4096, "requests", false,
	    "Requests that share a commit and its fsync at most."),
	ROW(store, linger_usec, OPTION_NUMBER, "200", 0, 100000, "microseconds", false,
	    "How long a commit waits for as many requests as came lately; a lone one never waits."),
	ROW(store, slice, OPTION_NUMBER, "2000", 1, 100000, "actions", false,
	    "Actions that one commit puts in place at most, behind the acknowledged ones."),
	ROW(store, cache_logs, OPTION_NUMBER, "65536", 16, 100000000, "logs", false,
	    "Logs a shard whose heads are kept in memory; others cost a look-up."),
	ROW(store, scrub_rate, OPTION_NUMBER, "5000", 0, 1000000, "actions a second", true,
	    "How fast a background walk verifies what is stored; 0: it is not done."),
	ROW(store, free_min, OPTION_BYTES, "256MiB", 0, 1024 * GIB, "bytes", true,
	    "With less free disk, writes get 503: the rest is for putting in place what is "
	    "stored."),

	ROW(states, positions, OPTION_NUMBER, "8", 0, 1000, "positions", false,
	    "Of a log, the newest at which apps' reports of their states are compared; 0: none."),
	ROW(states, devices, OPTION_NUMBER, "8", 2, 1000, "devices", false,
	    "At each of them, devices whose report is kept; others' are compared with those."),
	ROW(states, memory, OPTION_BYTES, "16MiB", 64 * KIB, 64 * GIB, "bytes", false,
	    "Memory a shard has for reports of logs in use; those of others cost a look-up."),

	ROW(limits, payload_bytes, OPTION_BYTES, "16KiB", 1, 16 * MIB, "bytes", true,
	    "An action's payload at most. Lowered, it stops the phones that hold a longer one."),
	ROW(limits, batch_actions, OPTION_NUMBER, "1000", 1, 100000, "actions", true,
	    "Actions in one request at most."),
	ROW(limits, body_bytes, OPTION_BYTES, "1MiB", 32 * KIB, 100 * MIB, "bytes", true,
	    "A request's body at most, after decoding; at least 6 payloads and 16 KiB."),
	ROW(limits, page_actions, OPTION_NUMBER, "1000", 1, 100000, "actions", true,
	    "Actions in one page of a replay, and missed actions in an answer, at most."),
	ROW(limits, page_bytes, OPTION_BYTES, "1MiB", 1, GIB, "bytes", true,
	    "The same in bytes of payload; one action is always given."),
	ROW(limits, wait_sec, OPTION_NUMBER, "30", 0, 30, "seconds", true,
	    "How long ?wait= may hold a request that has no answer yet."),
	ROW(limits, waiters, OPTION_NUMBER, "10000", 0, 1000000, "requests", true,
	    "Requests held by ?wait= or for events at once; beyond it 429; 0: there are none."),
	ROW(limits, subject_waiters, OPTION_NUMBER, "200", 0, 1000000, "requests", true,
	    "The same of one subject, where they say who they are; 0: they have none."),
	ROW(limits, sync_msec, OPTION_NUMBER, "50", 0, 60000, "ms", true,
	    "While syncs take longer, fewer are let in at once; others get 429, unread; 0: all."),
	ROW(limits, log_actions, OPTION_NUMBER, "0", 0, UINT64_C(1) << 53, "actions", true,
	    "A log may grow to this; beyond it 403, and its phones keep what is new; 0: any "
	    "number."),
	ROW(limits, log_bytes, OPTION_BYTES, "0", 0, UINT64_C(1) << 53, "bytes", true,
	    "The same in bytes of its actions' devices, types and payloads; 0: any number."),
	ROW(limits, subject_logs, OPTION_NUMBER, "0", 0, UINT64_C(1) << 53, "logs", true,
	    "Logs that a subject may begin besides its own; beyond it 403; 0: any number."),
	ROW(limits, snapshot_bytes, OPTION_BYTES, "64MiB", 1, 16 * GIB, "bytes", true,
	    "A snapshot at most."),

	ROW(snapshots, keep, OPTION_NUMBER, "3", 1, 100, "snapshots", true,
	    "How many a log has; those that are older than these go when another one comes."),
	ROW(snapshots, transfers, OPTION_NUMBER, "64", 1, 100000, "snapshots", false,
	    "Sent and received at once at most; beyond it 429."),
	ROW(snapshots, prune_sec, OPTION_NUMBER, "0", 0, UINT64_C(3153600000), "seconds", true,
	    "Content of actions received longer ago goes, up to their log's oldest snapshot; 0: "
	    "none."),
	ROW(snapshots, prune_every_sec, OPTION_NUMBER, "3600", 1, 86400, "seconds", true,
	    "How often logs are looked at for that."),

	ROW(rate, requests, OPTION_NUMBER, "20", 0, MIB, "requests a second", true,
	    "What one subject may send for ever; beyond it 429; 0: any number."),
	ROW(rate, requests_burst, OPTION_NUMBER, "400", 1, GIB, "requests", true,
	    "And at once: a phone that comes back syncs many logs, a new one reads page by page."),
	ROW(rate, actions, OPTION_NUMBER, "200", 0, GIB, "actions a second", true,
	    "What it may add for ever; duplicates and refused ones count a tenth; 0: any number."),
	ROW(rate, actions_burst, OPTION_NUMBER, "30000", 1, GIB, "actions", true,
	    "And at once: a week offline is 10000, and a server that is healed gets more."),
	ROW(rate, bytes, OPTION_BYTES, "1MiB", 0, 16 * GIB, "bytes a second", true,
	    "What it may read for ever, before gzip; 0: any number."),
	ROW(rate, bytes_burst, OPTION_BYTES, "64MiB", 1, 1024 * GIB, "bytes", true,
	    "And at once: a new phone reads whole logs."),
	ROW(rate, failures, OPTION_NUMBER, "10", 0, MIB, "requests a second", true,
	    "From one address without good credentials; beyond it 429 and not 401; 0: any number."),
	ROW(rate, failures_burst, OPTION_NUMBER, "100", 1, GIB, "requests", true,
	    "And at once: many phones may share an address. What has only expired never counts."),
	ROW(rate, owners, OPTION_NUMBER, "65536", 1, 100000000, "subjects", false,
	    "How many are kept, and as many addresses, 48 bytes each; who used least goes first."),
	CHOICE(rate, forwarded, forwarded_headers, "x-forwarded-for", true,
	       "Which header of proxies in auth.trusted names the client; its last untrusted one."),

	ROW(webhook, url, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "Gets a POST when a log has grown: https://…; empty: nobody is told."),
	ROW(webhook, secret_file, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "Who signs them: a secret a line, whsec_ and base64; read again by SIGHUP."),
	ROW(webhook, ca_file, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "Authorities that the receiver's certificate may be from, PEM; empty: the system's."),
	ROW(webhook, queue, OPTION_NUMBER, "10000", 1, 1000000, "logs", false,
	    "Logs at most of whose growth nobody has been told yet; others are dropped."),
	ROW(webhook, connections, OPTION_NUMBER, "4", 1, 64, "connections", false,
	    "POSTs at once."),
	ROW(webhook, gather_msec, OPTION_NUMBER, "500", 0, 60000, "ms", false,
	    "A log's commits within this are one POST."),
	ROW(webhook, timeout_sec, OPTION_NUMBER, "10", 1, 60, "seconds", false,
	    "How long a POST may take."),
	ROW(webhook, keep_sec, OPTION_NUMBER, "3600", 1, 604800, "seconds", false,
	    "How long after a log's newest growth it is tried; then it is dropped."),

	ROW(clock, max_skew_ms, OPTION_NUMBER, "0", 0, UINT64_C(31536000000), "ms", true,
	    "Refuse actions stamped further ahead of the server than this; 0 refuses none."),
	ROW(clock, monotonic, OPTION_BOOL, "false", 0, 1, NULL, true,
	    "Refuse actions stamped not after their device's newest; also refuses healing."),

	CHOICE(auth, mode, auth_modes, "none", false, "How clients prove who they are."),
	ROW(auth, allow_insecure, OPTION_BOOL, "false", 0, 1, NULL, false,
	    "Let auth.mode none listen where other machines can reach it."),
	ROW(auth, own_log, OPTION_TEXT, "{sub}", 1, TEXT_MAX, "bytes of text", false,
	    "The log that a subject owns; u:{sub} where logs are shared, so that no name takes "
	    "one."),
	ROW(auth, jwks_file, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: the keys that tokens are signed with, read again when it changes and on SIGHUP."),
	ROW(auth, jwks_url, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: or where to fetch them: https, or http on this machine."),
	ROW(auth, jwks_ca_file, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: authorities that may vouch for that server (PEM); empty: the system's."),
	ROW(auth, jwks_refresh_sec, OPTION_NUMBER, "300", 1, 86400, "seconds", false,
	    "jwt: how often they are fetched."),
	ROW(auth, jwks_min_interval_sec, OPTION_NUMBER, "10", 1, 3600, "seconds", false,
	    "jwt: how soon again when it failed, or when a token names a key that is not known."),
	ROW(auth, algorithms, OPTION_TEXT,
	    "EdDSA, ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512", 1, TEXT_MAX,
	    "bytes of text", false,
	    "jwt: which may sign; HS256, HS384, HS512 must be named, with their key in the file."),
	ROW(auth, issuer, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: what iss must be; empty: not looked at."),
	ROW(auth, audience, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: what aud must be or have; empty: not looked at."),
	ROW(auth, type, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: what typ must be, such as at+jwt; empty: not looked at."),
	ROW(auth, leeway_sec, OPTION_NUMBER, "30", 0, 600, "seconds", false,
	    "jwt: how far the issuer's clock may be off, for exp and nbf."),
	ROW(auth, token_bytes, OPTION_BYTES, "4KiB", 256, 64 * KIB, "bytes", false,
	    "jwt: a token at most; it must also fit into server.header_bytes."),
	ROW(auth, cache_bytes, OPTION_BYTES, "16MiB", MIB, 64 * GIB, "bytes", false,
	    "jwt: for verified tokens, remembered until they expire: some 300 an ordinary one."),
	ROW(auth, logs_claim, OPTION_TEXT, "logs", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: claim with other logs to write: names, or prefixes that end in *; empty: none."),
	ROW(auth, logs_ro_claim, OPTION_TEXT, "logs_ro", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: the same, to read."),
	ROW(auth, device_claim, OPTION_TEXT, "device", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: claim with the only device that a batch may name as its own; empty: none."),
	ROW(auth, all_scope, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "jwt: a word of scope that opens all logs, for support; empty: none."),
	ROW(auth, trusted, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "Where a proxy comes from that is believed: addresses, CIDRs, unix, commas between "
	    "them."),
	ROW(auth, user_header, OPTION_TEXT, "X-Remote-User", 1, TEXT_MAX, "bytes of text", false,
	    "proxy: the header that says who asks; the proxy must remove the client's own."),
	ROW(auth, secret_header, OPTION_TEXT, "X-Proxy-Secret", 1, TEXT_MAX, "bytes of text", false,
	    "proxy: the header that shows its secret."),
	ROW(auth, secret_file, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "proxy: the secret, which others cannot read, read again on SIGHUP; empty: none."),

	ROW(receipts, key, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", true,
	    "The file of the keys that sign receipts (edgereplay keygen); empty: none are given."),
	ROW(receipts, name, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", true,
	    "The server name that these keys must have; empty: whichever they have."),

	ROW(admin, listen, OPTION_TEXT, "unix:admin.sock", 0, TEXT_MAX, "bytes of text", false,
	    "Where the operator's side listens; a relative unix path is in store.dir; empty: "
	    "nowhere."),
	ROW(admin, metrics_listen, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "Where Prometheus asks: host:port with /metrics, /livez, /readyz alone; empty: "
	    "nowhere."),
	ROW(admin, socket_mode, OPTION_OCTAL, "0600", 0, 0777, "octal", false,
	    "Mode of their unix sockets: who may connect to that of listen is the operator."),
	ROW(admin, connections, OPTION_NUMBER, "32", 1, 1000, "connections", false,
	    "Open connections at most, at each of the two."),
	ROW(admin, allow_remote, OPTION_BOOL, "false", 0, 1, NULL, false,
	    "Let the operator's side listen where other machines can reach it, unauthenticated."),
	ROW(admin, hosts, OPTION_TEXT, "", 0, TEXT_MAX, "bytes of text", false,
	    "Names they may be asked by over TCP, commas between them, beside addresses and "
	    "localhost."),
	ROW(admin, allow_changes, OPTION_BOOL, "false", 0, 1, NULL, false,
	    "Let what comes to listen over TCP change data, too: removals, backups, the log's "
	    "level."),

	CHOICE(log, level, log_levels, "info", true, "The least important lines to log."),
	CHOICE(log, format, log_formats, "logfmt", true,
	       "One line an event, as key=value pairs or as a JSON object."),
	ROW(log, slow_ms, OPTION_NUMBER, "1000", 0, 3600000, "ms", true,
	    "Log requests that take longer, with their phases; 0: none."),
};

#define OPTION_COUNT (sizeof(config_options) / sizeof(config_options[0]))

static_assert(OPTION_COUNT <= SETTINGS_OPTIONS_MAX, "settings hold every option");

static void
demand(struct settings *settings, const char *section, const char *key, uint64_t least,
       const char *why)
{
	const struct option *option = settings_find(settings, text_of(section), text_of(key));
	CHECK(option != NULL);
	if (option_number(option, settings->values) < least)
		settings_report(settings, option, "is too small: it must be at least %llu, %s",
				(unsigned long long)least, why);
}

/* What no option's range can say alone. */
static void
check_together(struct settings *settings)
{
	const struct config *config = settings->values;
	uint64_t shards = config->store.shards;
	if ((config->server.tls_cert[0] == '\0') != (config->server.tls_key[0] == '\0'))
		settings_report(settings, settings_find(settings, TEXT("server"), TEXT("tls_key")),
				"goes with server.tls_cert: set both or none");
	if ((shards & (shards - 1)) != 0)
		settings_report(settings, settings_find(settings, TEXT("store"), TEXT("shards")),
				"is not a power of two");
	if ((config->webhook.url[0] == '\0') != (config->webhook.secret_file[0] == '\0'))
		settings_report(settings, settings_find(settings, TEXT("webhook"), TEXT("url")),
				"needs webhook.secret_file, and that one this");
	demand(settings, "limits", "body_bytes", 6 * config->limits.payload_bytes + 16 * KIB,
	       "6 * limits.payload_bytes + 16 KiB: a payload may be all escapes");
	demand(settings, "server", "body_memory", config->limits.body_bytes + INFLATE_SIZE,
	       "limits.body_bytes + 48 KiB: one request has to fit, with what inflating it takes");
	/* Without authentication few are limited, and nobody need have thought of it. */
	if (config->auth.mode != AUTH_NONE && config->rate.actions > 0)
		demand(settings, "rate", "actions_burst", config->limits.batch_actions,
		       "limits.batch_actions: a batch has to be paid for");
	if (config->auth.mode != AUTH_NONE && config->rate.bytes > 0)
		demand(settings, "rate", "bytes_burst", config->limits.page_bytes,
		       "limits.page_bytes: a page has to be paid for");
	/* Half is for a page (options.c), half for its last action, results and receipts. */
	demand(settings, "server", "answer_memory",
	       12 * config->limits.payload_bytes + 192 * config->limits.batch_actions + 256 * KIB,
	       "12 * limits.payload_bytes + 192 * limits.batch_actions + 256 KiB: one answer has "
	       "to fit, a payload may be all escapes");
	demand(settings, "store", "tail_bytes",
	       config->limits.body_bytes + TAIL_ACTION_SIZE * config->limits.batch_actions,
	       "limits.body_bytes + 512 * limits.batch_actions: one batch has to fit");
	if (config->auth.mode == AUTH_JWT)
		demand(settings, "server", "header_bytes", config->auth.token_bytes + 2 * KIB,
		       "auth.token_bytes + 2 KiB: a request with a token has to fit");
}

/* Takes a flag that is no option; false for all others. */
static bool
read_word(const char *argument, const char **path, enum config_action *action)
{
	static const struct {
		const char *flag;
		enum config_action action;
	} words[] = {{"--check-config", CONFIG_CHECK},
		     {"--print-config", CONFIG_PRINT},
		     {"--help", CONFIG_HELP},
		     {"--version", CONFIG_VERSION}};
	static const char config_flag[] = "--config=";
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(argument, words[i].flag) != 0)
			continue;
		/* Of several the last of enum config_action, so that --help always helps. */
		if (words[i].action > *action)
			*action = words[i].action;
		return true;
	}
	if (strncmp(argument, config_flag, strlen(config_flag)) != 0)
		return false;
	*path = argument + strlen(config_flag);
	return true;
}

static void
read_sources(struct settings *settings, int argc, char **argv, char **environment,
	     enum config_action *action)
{
	const char *path = NULL;
	const char *ignored = NULL;
	*action = CONFIG_RUN;
	for (int i = 1; i < argc; i++)
		(void)read_word(argv[i], &path, action);
	if (*action < CONFIG_PRINT) {
		if (path != NULL)
			settings_read_file(settings, path);
		settings_read_environment(settings, environment);
	}
	for (int i = 1; i < argc; i++) {
		if (!read_word(argv[i], &ignored, action))
			settings_read_flag(settings, argv[i]);
	}
	if (settings->problems == 0 && *action < CONFIG_PRINT)
		check_together(settings);
}

static struct settings
settings_of(struct config *config, FILE *errors)
{
	return (struct settings){.options = config_options,
				 .count = OPTION_COUNT,
				 .prefix = "EDGEREPLAY",
				 .values = config,
				 .errors = errors};
}

enum status
config_load(struct config *config, int argc, char **argv, char **environment, FILE *errors,
	    enum config_action *action)
{
	struct settings settings = settings_of(config, errors);
	memset(config, 0, sizeof(*config));
	settings_begin(&settings);
	read_sources(&settings, argc, argv, environment, action);
	return settings.problems == 0 ? STATUS_OK : STATUS_MALFORMED;
}

static void
log_change(const struct option *option, const struct config *config, const struct config *wanted)
{
	char name[64];
	char room[OPTION_VALUE_SIZE];
	char wanted_room[OPTION_VALUE_SIZE];
	const char *value = option_value(option, config, room);
	const char *wanted_value = option_value(option, wanted, wanted_room);
	(void)snprintf(name, sizeof(name), "%s.%s", option->section, option->key);
	if (option->reloadable)
		log_info("config", "option taken over", LOG_STR("option", name),
			 LOG_STR("value", wanted_value), LOG_STR("before", value));
	else
		log_warn("config", "option needs a restart", LOG_STR("option", name),
			 LOG_STR("value", value), LOG_STR("after_restart", wanted_value));
}

enum status
config_reload(struct config *config, int argc, char **argv, char **environment, FILE *errors)
{
	struct config wanted = {0};
	struct config merged = *config;
	struct settings settings = settings_of(&wanted, errors);
	enum config_action action;
	settings_begin(&settings);
	read_sources(&settings, argc, argv, environment, &action);
	if (settings.problems > 0)
		return STATUS_MALFORMED;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (config_options[i].reloadable)
			option_copy(&config_options[i], &merged, &wanted);
	}
	/* What fits together after a restart need not fit what runs now. */
	settings.values = &merged;
	check_together(&settings);
	if (settings.problems > 0)
		return STATUS_MALFORMED;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (!option_same(&config_options[i], config, &wanted))
			log_change(&config_options[i], config, &wanted);
	}
	*config = merged;
	return STATUS_OK;
}

const char *
config_auth_mode(const struct config *config)
{
	return auth_modes[config->auth.mode];
}

void
config_print_help(FILE *out)
{
	fputs("usage: edgereplayd [--config=FILE] [--section.key=value]...\n"
	      "\n"
	      "  --config=FILE    read options from an INI file\n"
	      "  --check-config   check all options, print what is wrong, and end\n"
	      "  --print-config   print a file with every option, its range and its default\n"
	      "  --help           print this\n"
	      "  --version        print the version\n"
	      "\n"
	      "Options with their defaults. Later wins: the INI file ([section], key = value), "
	      "the\n"
	      "environment (EDGEREPLAY_<SECTION>_<KEY>), the flags. Sizes in bytes may end "
	      "with\n" OPTION_UNITS
	      ". SIGHUP reads them again; those marked \"reloadable\" then take "
	      "effect.\n",
	      out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &config_options[i];
		fprintf(out, "\n  --%s.%s=%s\n      %s\n      ", option->section, option->key,
			option->initial, option->text);
		option_print_range(option, out);
		fputs(option->reloadable ? "; reloadable\n" : "\n", out);
	}
}

void
config_print_ini(FILE *out)
{
	const char *section = "";
	fputs("# Every option of edgereplayd with its range and its default.\n"
	      "#\n"
	      "# Read with --config=FILE. The environment (EDGEREPLAY_<SECTION>_<KEY>) and flags\n"
	      "# (--section.key=value) win over this file. Sizes in bytes may end with\n"
	      "# " OPTION_UNITS ". A comment has a line of its own. SIGHUP reads the file\n"
	      "# again; options marked \"reloadable\" then take effect, the others at the next "
	      "start.\n",
	      out);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &config_options[i];
		if (strcmp(section, option->section) != 0)
			fprintf(out, "\n[%s]\n", option->section);
		section = option->section;
		fprintf(out, "\n# %s\n# Range: ", option->text);
		option_print_range(option, out);
		fprintf(out, "%s\n%s =%s%s\n", option->reloadable ? "; reloadable" : "",
			option->key, option->initial[0] != '\0' ? " " : "", option->initial);
	}
}
