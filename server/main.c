/*
 * edgereplayd: start, signals, drain, stop. The only place, with options.h, that knows every room.
 *
 *     phone ─▶ http/listener ─▶ http/request ─▶ api (route, admit, wire, chain/batch) ─▶ store/shard
 *                                                                                          │ gather
 *                                                                                          │ chain/settle
 *                                                                                          │ write
 *     phone ◀─ http/request ◀─ api (verdict → JSON) ◀─ done(job) ◀─ COMMIT ◀─ store/sqlite
 *
 * Data flows one way. The ways back up are function pointers handed down here: what a request means
 * (struct app, to the listener) and who wants to know that a log has grown (committed, to the store).
 */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "addresses.h"
#include "admin/admin.h"
#include "api/api.h"
#include "api/receipts.h"
#include "auth/auth.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config.h"
#include "http/listener.h"
#include "http/tls.h"
#include "notify.h"
#include "options.h"
#include "store/pruner.h"
#include "store/store.h"
#include "webhook/webhook.h"

/* Descriptors beside connections and shards: standard streams, epoll, event and timer descriptors,
 * the lock. */
#define DESCRIPTORS_OTHER 64

/* Of a shard: its writer's connection, those of look-ups and of the walk for rot, two journal files, the anchor, a
 * backup. And of each connection that reads it: file, WAL, index. */
#define DESCRIPTORS_SHARD 11
#define DESCRIPTORS_READER 3

struct server {
	struct config config;
	struct receipt_signers signers;
	struct api *api;
	struct auth *auth; /* NULL: everybody may do everything */
	struct trusted trusted;
	struct store *store;
	struct webhook *webhook; /* NULL: nobody is told */
	struct snapshot_keeper *snapshots;
	struct pruner *pruner;
	struct listener *listener;
	struct admin *admin;
	int argc;
	char **argv;
};

static bool
fail(const char *event, const char *problem)
{
	log_error("main", event, LOG_STR("problem", problem));
	return false;
}

static void
committed(void *cookie, const struct committed *what)
{
	struct server *server = cookie;
	api_committed(server->api, what);
	if (server->webhook != NULL && !what->erased)
		webhook_offer(server->webhook, what->log, &what->head->position, what->origin);
}

static bool
webhook_start(struct server *server)
{
	const char *problem = NULL;
	const struct webhook_options options = webhook_options_of(&server->config);
	if (options.url[0] == '\0' ||
	    webhook_new(&options, &server->webhook, &problem) == STATUS_OK)
		return true;
	return fail("cannot start", problem);
}

static bool
load_signers(const struct config *config, struct receipt_signers *signers)
{
	const char *problem = NULL;
	if (!receipts_load(config->receipts.key, config->receipts.name, signers, &problem))
		return fail("receipts.key", problem);
	for (size_t i = 0; i < signers->count; i++) {
		char vkey[NOTE_KEY_TEXT_MAX];
		const size_t size = note_key_write(&signers->signers[i].key, vkey);
		log_info("main", "receipts are signed",
			 LOG_TEXT("vkey", ((struct text){vkey, size})));
	}
	return true;
}

/* Which is allowed: of figures that name nobody, or where the configuration says so. */
static void
tell_of_others(enum admin_endpoint endpoint, const char *address)
{
	const bool figures = endpoint == ADMIN_METRICS;
	if (listener_address_is_local(address))
		return;
	LOG_EVENT(figures ? LOG_INFO : LOG_WARN, "main", "other machines reach it",
		  LOG_STR("option", figures ? "admin.metrics_listen" : "admin.listen"),
		  LOG_STR("address", address));
}

/* Nowhere, if it is empty. */
static bool
admin_listen_at(struct server *server, enum admin_endpoint endpoint, const char *listen)
{
	const char *problem = NULL;
	char address[CONFIG_TEXT_SIZE];
	if (listen[0] == '\0' || !addresses_of_admin(&server->config, listen, address))
		return true;
	if (admin_listen(server->admin, endpoint, address, &problem) != STATUS_OK)
		return fail(endpoint == ADMIN_METRICS
				    ? "cannot listen for Prometheus (admin.metrics_listen)"
				    : "cannot listen for the operator (admin.listen)",
			    problem);
	log_info("main", endpoint == ADMIN_METRICS ? "metrics listening" : "admin listening",
		 LOG_STR("address", admin_address(server->admin, endpoint)));
	tell_of_others(endpoint, address);
	return true;
}

/* Before the shards are recovered, so that somebody answers meanwhile. */
static bool
start_admin(struct server *server)
{
	const struct config *config = &server->config;
	const struct admin_options options = {.socket_mode = (unsigned)config->admin.socket_mode,
					      .connections = (unsigned)config->admin.connections,
					      .hosts = config->admin.hosts,
					      .allow_changes = config->admin.allow_changes,
					      .api = server->api,
					      .store = server->store,
					      .webhook = server->webhook};
	server->admin = admin_new(&options);
	if (server->admin == NULL)
		return fail("cannot start", "out of memory");
	return admin_listen_at(server, ADMIN_OPERATOR, config->admin.listen) &&
	       admin_listen_at(server, ADMIN_METRICS, config->admin.metrics_listen);
}

static struct pruner_pace
pruner_pace_of(const struct config *config)
{
	return (struct pruner_pace){.after_sec = config->snapshots.prune_sec,
				    .every_sec = config->snapshots.prune_every_sec};
}

/* While the store still serves. The keeper is freed when nobody reads any more. */
static void
stop_snapshots(struct server *server)
{
	pruner_stop(server->pruner);
	server->pruner = NULL;
	snapshot_keeper_stop(server->snapshots);
}

/* Both, or none. */
static bool
start_snapshots(struct server *server)
{
	const struct pruner_pace pace = pruner_pace_of(&server->config);
	const char *problem = NULL;
	const struct snapshot_keeper_options options = {.dir = server->config.store.dir,
							.store = server->store,
							.keep = server->config.snapshots.keep,
							.transfers =
								server->config.snapshots.transfers};
	if (snapshot_keeper_start(&options, &server->snapshots, &problem) != STATUS_OK)
		return fail("cannot keep snapshots", problem);
	if (pruner_start(server->store, snapshot_keeper_folder(server->snapshots), &pace,
			 &server->pruner) != STATUS_OK) {
		stop_snapshots(server);
		snapshot_keeper_free(server->snapshots);
		return fail("cannot prune logs", "cannot start a thread");
	}
	api_set_snapshots(server->api, server->snapshots);
	return true;
}

/* Descriptors must suffice for every connection that is let in: running out of them is not
 * survivable in style. */
static bool
raise_descriptor_limit(const struct listener_options *listener, const struct config *config)
{
	const rlim_t needed = listener_descriptors(listener) + DESCRIPTORS_OTHER +
			      admin_descriptors((unsigned)config->admin.connections) +
			      webhook_descriptors((unsigned)config->webhook.connections) +
			      config->snapshots.transfers +
			      config->store.shards * (DESCRIPTORS_SHARD +
						      DESCRIPTORS_READER * config->server.threads);
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return fail("cannot start", strerror(errno));
	if (limit.rlim_cur >= needed)
		return true;
	if (limit.rlim_max < needed) {
		log_error("main", "cannot start", LOG_U64("descriptors_needed", needed),
			  LOG_U64("descriptors_allowed", limit.rlim_max),
			  LOG_STR("problem",
				  "too few file descriptors: raise the limit (ulimit -n, "
				  "LimitNOFILE=) or lower server.connections"));
		return false;
	}
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
		return fail("cannot start", strerror(errno));
	return true;
}

static bool
auth_start(struct server *server)
{
	const char *problem = NULL;
	const struct auth_options options = auth_options_of(&server->config);
	struct text bad;
	/* What is wrong with it for a proxy is told by who cannot do without. */
	if (!trusted_parse(&server->trusted, text_of(options.trusted), &bad) && !options.proxy)
		return fail("auth.trusted", "must be addresses, CIDRs and unix, with commas "
					    "between them");
	if (server->config.auth.mode == AUTH_NONE)
		return true;
	if (auth_new(&options, &server->auth, &problem) != STATUS_OK)
		return fail("cannot start", problem);
	return true;
}

static bool
server_start(struct server *server)
{
	const char *problem = NULL;
	struct api_limits limits = api_limits_of(&server->config);
	const int inherited_fd = notify_socket();
	const struct listener_options listener = listener_options_of(&server->config, inherited_fd);
	if (!addresses_check(&server->config, inherited_fd) ||
	    !raise_descriptor_limit(&listener, &server->config) ||
	    !load_signers(&server->config, &server->signers) || !auth_start(server))
		return false;

	limits.signers = &server->signers;
	server->api = api_new(&limits);
	if (server->api == NULL) {
		fail("cannot start", "out of memory");
		goto free_auth;
	}
	/* Before the operator's side looks at it, which it does while shards are recovered. */
	api_set_auth(server->api, server->auth);
	api_set_trusted(server->api, &server->trusted);
	if (!webhook_start(server))
		goto free_api;
	struct store_options store = store_options_of(&server->config);
	store.committed = committed;
	store.committed_cookie = server;
	if (store_open(&store, &server->store, &problem) != STATUS_OK) {
		fail("cannot open the store", problem);
		goto free_webhook;
	}
	if (!start_admin(server))
		goto stop_admin;
	if (store_start(server->store, &problem) != STATUS_OK) {
		fail("cannot open the store", problem);
		goto stop_admin;
	}
	if (!start_snapshots(server))
		goto stop_store;
	api_set_store(server->api, server->store);
	const struct app app = api_app(server->api);
	if (listener_start(&listener, &app, &server->listener, &problem) != STATUS_OK) {
		fail("cannot listen", problem);
		goto stop_keeper;
	}
	admin_serving(server->admin, server->listener, snapshot_keeper_folder(server->snapshots));
	return true;

stop_keeper:
	stop_snapshots(server);
	snapshot_keeper_free(server->snapshots);
stop_store:
	store_stop(server->store);
stop_admin:
	admin_stop(server->admin);
	store_close(server->store);
free_webhook:
	webhook_free(server->webhook);
free_api:
	api_free(server->api);
free_auth:
	auth_free(server->auth);
	return false;
}

static void
server_reload(struct server *server)
{
	notify_reloading();
	if (config_reload(&server->config, server->argc, server->argv, environ, stderr) ==
	    STATUS_OK) {
		struct api_limits limits = api_limits_of(&server->config);
		log_configure(server->config.log.level, server->config.log.format);
		/* Bad new keys leave the old ones in force. */
		(void)load_signers(&server->config, &server->signers);
		limits.signers = &server->signers;
		store_set_clock(server->store, &limits.clock);
		store_set_quota(server->store, &limits.quota);
		store_set_scrub_rate(server->store, server->config.store.scrub_rate);
		store_set_free_min(server->store, server->config.store.free_min);
		snapshot_keeper_set_keep(server->snapshots, server->config.snapshots.keep);
		const struct pruner_pace pace = pruner_pace_of(&server->config);
		pruner_set(server->pruner, &pace);
		if (!api_set_limits(server->api, &limits))
			fail("limits not reloaded", "out of memory");
	} else {
		fail("not reloaded", "the configuration has errors; the old one stays in force");
	}
	if (server->auth != NULL)
		auth_reload(server->auth);
	const char *problem = NULL;
	if (listener_reload(server->listener, &problem) != STATUS_OK)
		fail("certificate not reloaded", problem);
	if (server->webhook != NULL && webhook_reload(server->webhook, &problem) != STATUS_OK)
		fail("webhook.secret_file not reloaded", problem);
	notify_reloaded();
}

static void
log_counters(void)
{
	struct log_field fields[COUNTER_COUNT];
	for (int i = 0; i < COUNTER_COUNT; i++)
		fields[i] = LOG_U64(counter_name((enum counter)i), counter_value((enum counter)i));
	log_write(LOG_INFO, "main", "stopped", fields, COUNTER_COUNT);
}

/*
 * Stop order: accept no more, let waiting requests go, serve what is under way, let every writer
 * finish what it accepted (its answers leave through the listener, which still runs), then stop the
 * listener, then free what its threads used. The operator's side answers until all is at rest.
 */
static bool
server_stop(struct server *server)
{
	notify_stopping();
	admin_draining(server->admin);
	listener_quiesce(server->listener);
	api_drain(server->api);
	if (!listener_drain(server->listener, 1000 * server->config.server.drain_sec))
		log_warn("main", "some requests did not end in time and are cut",
			 LOG_U64("drain_sec", server->config.server.drain_sec));
	stop_snapshots(server);
	const bool at_rest = store_stop(server->store);
	admin_stop(server->admin);
	listener_stop(server->listener);
	snapshot_keeper_free(server->snapshots);
	store_close(server->store);
	webhook_free(server->webhook);
	api_free(server->api);
	auth_free(server->auth);
	log_counters();
	return at_rest;
}

/* The next signal. Meanwhile the service manager hears that the threads which serve come round: as
 * long as one does not, it hears nothing, and starts the daemon again when that has lasted. */
static int
next_signal(struct server *server, const sigset_t *signals)
{
	const uint64_t usec = notify_interval_usec();
	const struct timespec interval = {.tv_sec = (time_t)(usec / 1000000),
					  .tv_nsec = (long)(usec % 1000000 * 1000)};
	for (;;) {
		const int signal_number = usec > 0 ? sigtimedwait(signals, NULL, &interval)
						   : sigwaitinfo(signals, NULL);
		if (signal_number > 0)
			return signal_number;
		if (usec == 0 || errno != EAGAIN)
			continue;
		if (listener_came_round(server->listener))
			notify_alive();
		else
			log_warn("main", "an HTTP thread does not come round",
				 LOG_U64("msec", usec / 1000));
	}
}

/* Serves until SIGTERM or SIGINT. */
static void
server_wait(struct server *server, const sigset_t *signals)
{
	for (;;) {
		const int signal_number = next_signal(server, signals);
		log_info("main", "signal", LOG_STR("name", strsignal(signal_number)));
		if (signal_number != SIGHUP)
			return;
		server_reload(server);
	}
}

static int
serve(struct server *server, const sigset_t *signals)
{
	log_configure(server->config.log.level, server->config.log.format);
	if (!server_start(server))
		return EXIT_FAILURE;
	log_info("main", "listening", LOG_STR("address", listener_address(server->listener)),
		 LOG_STR("version", EDGEREPLAY_VERSION));
	notify_ready(store_down(server->store), server->config.store.shards);
	server_wait(server, signals);
	return server_stop(server) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool
check_certificate(const struct config *config)
{
	const char *problem = NULL;
	struct tls tls;
	if (config->server.tls_cert[0] == '\0')
		return true;
	if (tls_open(&tls, config->server.tls_cert, config->server.tls_key, &problem) != STATUS_OK)
		return fail("cannot listen", problem);
	tls_close(&tls);
	return true;
}

/* Reads whatever a start reads but the data directory. */
static bool
check_files(struct server *server)
{
	const bool is_good = addresses_check(&server->config, -1) &&
			     load_signers(&server->config, &server->signers) &&
			     auth_start(server) && webhook_start(server) &&
			     check_certificate(&server->config);
	webhook_free(server->webhook);
	auth_free(server->auth);
	return is_good;
}

int
main(int argc, char **argv)
{
	static struct server server;
	server.argc = argc;
	server.argv = argv;

	/* Blocked here and inherited by every thread, so that only server_wait() gets them: also as
	 * PID 1. */
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	if (sodium_init() == -1)
		return EXIT_FAILURE;

#ifdef EDGEREPLAY_FAIL_POINTS
	if (argc == 2 && strcmp(argv[1], "--fail-points") == 0) {
		fail_points_list(stdout);
		return EXIT_SUCCESS;
	}
#endif
	enum config_action action = CONFIG_RUN;
	if (config_load(&server.config, argc, argv, environ, stderr, &action) != STATUS_OK)
		return 2;
	switch (action) {
	case CONFIG_HELP:
		config_print_help(stdout);
		return EXIT_SUCCESS;
	case CONFIG_VERSION:
		printf("edgereplayd %s\n", EDGEREPLAY_VERSION);
		return EXIT_SUCCESS;
	case CONFIG_PRINT:
		config_print_ini(stdout);
		return EXIT_SUCCESS;
	case CONFIG_CHECK:
		if (!check_files(&server))
			return 2;
		printf("the configuration is good\n");
		return EXIT_SUCCESS;
	case CONFIG_RUN:
		break;
	}
	return serve(&server, &signals);
}
