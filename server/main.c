/*
 * edgereplayd: start, signals, drain, stop. The only place that knows every room.
 *
 *     phone ─▶ http/listener ─▶ http/request ─▶ api (route, wire, chain/batch) ─▶ store/shard
 *                                                                                   │ gather
 *                                                                                   │ chain/settle
 *                                                                                   │ write
 *     phone ◀─ http/request ◀─ api (verdict → JSON) ◀─ done(job) ◀─ COMMIT ◀─ store/sqlite
 *
 * Data flows one way. The ways back up are function pointers handed down here: what a request means
 * (struct app, to the listener) and who waits for a log (api_committed, to the store).
 */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "api/api.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config.h"
#include "http/listener.h"
#include "store/store.h"

/* Descriptors beside connections and shards: standard streams, epoll, event and timer descriptors,
 * the lock. */
#define DESCRIPTORS_OTHER 64

struct server {
	struct config config;
	struct api *api;
	struct store *store;
	struct listener *listener;
	int argc;
	char **argv;
};

static struct api_limits
limits_of(const struct config *config)
{
	return (struct api_limits){
		.payload_bytes = config->limits.payload_bytes,
		.batch_actions = config->limits.batch_actions,
		.body_bytes = config->limits.body_bytes,
		.page_actions = config->limits.page_actions,
		.page_bytes = config->limits.page_bytes,
		.wait_sec = (unsigned)config->limits.wait_sec,
		.waiters = config->limits.waiters,
		.sync_msec = config->limits.sync_msec,
		.clock = {.max_skew_msec = config->clock.max_skew_ms,
			  .monotonic = config->clock.monotonic},
		.auth_mode = "none",
	};
}

static struct store_options
store_options_of(const struct server *server)
{
	const struct config *config = &server->config;
	return (struct store_options){
		.dir = config->store.dir,
		.shards = (unsigned)config->store.shards,
		.queue_jobs = config->store.queue,
		.tail_bytes = config->store.tail_bytes,
		.group_jobs = config->store.group,
		.linger_usec = config->store.linger_usec,
		.slice_actions = config->store.slice,
		.cache_logs = config->store.cache_logs,
		.readers = config->server.threads,
		.clock = limits_of(config).clock,
		.scrub_rate = config->store.scrub_rate,
		.committed = api_committed,
		.committed_cookie = server->api,
	};
}

/* A socket that the service manager passed in, or -1. */
static int
inherited_socket(void)
{
	const int count = sd_listen_fds(1);
	if (count > 1)
		log_warn("main", "more than one socket was passed in; only the first is used",
			 LOG_I64("count", count));
	return count >= 1 ? SD_LISTEN_FDS_START : -1;
}

static struct listener_options
listener_options_of(const struct server *server, int inherited_fd)
{
	const struct config *config = &server->config;
	const struct api_limits limits = limits_of(config);
	return (struct listener_options){
		.address = config->server.listen,
		.socket_mode = (unsigned)config->server.socket_mode,
		.inherited_fd = inherited_fd,
		.threads = (unsigned)config->server.threads,
		.connections = (unsigned)config->server.connections,
		.idle_sec = (unsigned)config->server.idle_sec,
		.header_bytes = config->server.header_bytes,
		.body_memory = config->server.body_memory,
		.drain_bytes = config->server.drain_bytes,
		.arena_bytes = api_arena_bytes(&limits),
	};
}

static bool
fail(const char *event, const char *problem)
{
	log_error("main", event, LOG_STR("problem", problem));
	return false;
}

/* Without authentication whoever reaches the socket may write any log. */
static bool
address_is_allowed(const struct config *config, int inherited_fd)
{
	const char *problem = NULL;
	if (inherited_fd == -1 && !listener_address_is_valid(config->server.listen, &problem))
		return fail("server.listen", problem);
	if (config->auth.mode != AUTH_NONE || config->auth.allow_insecure ||
	    (inherited_fd == -1 ? listener_address_is_local(config->server.listen)
				: listener_socket_is_local(inherited_fd)))
		return true;
	return fail(
		"cannot start",
		"auth.mode=none serves everybody who reaches the address: listen on loopback or a "
		"unix socket (server.listen, or the socket that is passed in), or set "
		"auth.allow_insecure=true");
}

/* Descriptors must suffice for every connection that is let in: running out of them is not
 * survivable in style. */
static bool
raise_descriptor_limit(const struct listener_options *listener, const struct config *config)
{
	const rlim_t needed = listener_descriptors(listener) + DESCRIPTORS_OTHER +
			      config->store.shards * (11 + 3 * config->server.threads);
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
server_start(struct server *server)
{
	const char *problem = NULL;
	const struct api_limits limits = limits_of(&server->config);
	const int inherited_fd = inherited_socket();
	const struct listener_options listener = listener_options_of(server, inherited_fd);
	if (!address_is_allowed(&server->config, inherited_fd) ||
	    !raise_descriptor_limit(&listener, &server->config))
		return false;

	server->api = api_new(&limits);
	if (server->api == NULL)
		return fail("cannot start", "out of memory");
	const struct store_options store = store_options_of(server);
	if (store_open(&store, &server->store, &problem) != STATUS_OK) {
		fail("cannot open the store", problem);
		goto free_api;
	}
	api_set_store(server->api, server->store);
	const struct app app = api_app(server->api);
	if (listener_start(&listener, &app, &server->listener, &problem) != STATUS_OK) {
		fail("cannot listen", problem);
		goto close_store;
	}
	return true;

close_store:
	store_stop(server->store);
	store_close(server->store);
free_api:
	api_free(server->api);
	return false;
}

static void
server_reload(struct server *server)
{
	sd_notify(0, "RELOADING=1");
	if (config_reload(&server->config, server->argc, server->argv, environ, stderr) ==
	    STATUS_OK) {
		const struct api_limits limits = limits_of(&server->config);
		log_configure(server->config.log.level, server->config.log.format);
		store_set_clock(server->store, &limits.clock);
		store_set_scrub_rate(server->store, server->config.store.scrub_rate);
		if (!api_set_limits(server->api, &limits))
			fail("limits not reloaded", "out of memory");
	} else {
		fail("not reloaded", "the configuration has errors; the old one stays in force");
	}
	sd_notify(0, "READY=1");
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
 * listener, then free what its threads used.
 */
static bool
server_stop(struct server *server)
{
	sd_notify(0, "STOPPING=1");
	listener_quiesce(server->listener);
	api_drain(server->api);
	if (!listener_drain(server->listener, 1000 * server->config.server.drain_sec))
		log_warn("main", "some requests did not end in time and are cut",
			 LOG_U64("drain_sec", server->config.server.drain_sec));
	const bool at_rest = store_stop(server->store);
	listener_stop(server->listener);
	store_close(server->store);
	api_free(server->api);
	log_counters();
	return at_rest;
}

/* Serves until SIGTERM or SIGINT. */
static void
server_wait(struct server *server, const sigset_t *signals)
{
	for (;;) {
		int signal_number = 0;
		if (sigwait(signals, &signal_number) != 0)
			continue;
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
	sd_notifyf(0, "READY=1\nSTATUS=%u of %lu shards down", store_down(server->store),
		   (unsigned long)server->config.store.shards);
	server_wait(server, signals);
	return server_stop(server) ? EXIT_SUCCESS : EXIT_FAILURE;
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
		if (!address_is_allowed(&server.config, -1))
			return 2;
		printf("the configuration is good\n");
		return EXIT_SUCCESS;
	case CONFIG_RUN:
		break;
	}
	return serve(&server, &signals);
}
