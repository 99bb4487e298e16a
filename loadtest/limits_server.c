#include "loadtest/limits_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

#define BACKLOG 1024
#define IDLE_SEC 75
#define CONNECTION_MEMORY ((size_t)32 * 1024)

/* As long as what the daemon answers to most syncs: a fast-forward. */
static char ANSWER[] =
	"{\"seq\":1000042,\"stateHash\":"
	"\"0f4a1c5b77d2e9963c0b8a1f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c3d2e1\","
	"\"serverTimestamp\":1790000000200,\"applied\":1,\"duplicates\":0,\"refused\":0,"
	"\"fastForward\":true,\"backoffMs\":0}";

struct place {
	struct place *next;
	struct MHD_Connection *connection;
	enum { EXPECTED, READING, RESUMED } phase; /* of its request */
};

struct server {
	struct MHD_Response *answer;
	bool suspend;
	uint64_t hold_usec;
	pthread_mutex_t lock;
	pthread_cond_t parked;
	struct place *waiting;
};

static void
on_connection(void *cookie, struct MHD_Connection *connection, void **state,
	      enum MHD_ConnectionNotificationCode code)
{
	(void)cookie;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		struct place *place = calloc(1, sizeof(*place));
		CHECK(place != NULL);
		place->connection = connection;
		*state = place;
	} else {
		free(*state);
		*state = NULL;
	}
}

static void
park(struct server *server, struct place *place)
{
	MHD_suspend_connection(place->connection);
	CHECK(pthread_mutex_lock(&server->lock) == 0);
	bool first = server->waiting == NULL;
	place->next = server->waiting;
	server->waiting = place;
	CHECK(pthread_mutex_unlock(&server->lock) == 0);
	if (first)
		CHECK(pthread_cond_signal(&server->parked) == 0);
}

static enum MHD_Result
on_access(void *cookie, struct MHD_Connection *connection, const char *target, const char *method,
	  const char *version, const char *data, size_t *size, void **state)
{
	struct server *server = cookie;
	(void)target, (void)method, (void)version, (void)data;
	if (*state == NULL) {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
		struct place *place = info->socket_context;
		place->phase = READING;
		*state = place;
		return MHD_YES;
	}
	if (*size > 0) {
		*size = 0;
		return MHD_YES;
	}
	struct place *place = *state;
	if (server->suspend && place->phase == READING) {
		place->phase = RESUMED;
		park(server, place);
		return MHD_YES;
	}
	return MHD_queue_response(connection, MHD_HTTP_OK, server->answer);
}

/* Takes all that wait and resumes them, as a group's commit does. */
static void *
resume_parked(void *cookie)
{
	struct server *server = cookie;
	struct timespec hold = {.tv_sec = (time_t)(server->hold_usec / 1000000),
				.tv_nsec = (long)(server->hold_usec % 1000000) * 1000};
	CHECK(pthread_mutex_lock(&server->lock) == 0);
	for (;;) {
		if (server->waiting == NULL) {
			CHECK(pthread_cond_wait(&server->parked, &server->lock) == 0);
			continue;
		}
		CHECK(pthread_mutex_unlock(&server->lock) == 0);
		if (server->hold_usec > 0)
			(void)nanosleep(&hold, NULL);
		CHECK(pthread_mutex_lock(&server->lock) == 0);
		struct place *place = server->waiting;
		server->waiting = NULL;
		CHECK(pthread_mutex_unlock(&server->lock) == 0);
		while (place != NULL) {
			/* Once resumed it may be parked again by its next request. */
			struct place *next = place->next;
			MHD_resume_connection(place->connection);
			place = next;
		}
		CHECK(pthread_mutex_lock(&server->lock) == 0);
	}
	return NULL;
}

static struct MHD_Response *
constant_answer(void)
{
	static const struct {
		const char *name, *value;
	} headers[] = {{"Server", "edgereplay"},
		       {"X-Request-Id", "0123456789abcdef-0000000000000001"},
		       {"X-Content-Type-Options", "nosniff"},
		       {"Content-Type", "application/json"},
		       {"Vary", "Accept-Encoding"},
		       {"Cache-Control", "no-store"}};
	struct MHD_Response *answer =
		MHD_create_response_from_buffer(sizeof(ANSWER) - 1, ANSWER, MHD_RESPMEM_PERSISTENT);
	for (size_t i = 0; answer != NULL && i < sizeof(headers) / sizeof(headers[0]); i++)
		CHECK(MHD_add_response_header(answer, headers[i].name, headers[i].value) ==
		      MHD_YES);
	return answer;
}

static struct MHD_Daemon *
start_daemon(struct server *server, const struct limits_plan *plan, int listener)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
			 MHD_USE_ERROR_LOG;
	unsigned threads = (unsigned)plan->threads;
	struct MHD_OptionItem pool[] = {{MHD_OPTION_THREAD_POOL_SIZE, threads, NULL},
					{MHD_OPTION_END, 0, NULL}};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	return MHD_start_daemon(
		flags, 0, NULL, NULL, on_access, server, MHD_OPTION_LISTEN_SOCKET, listener,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIMITS_CONNECTIONS_MAX * threads,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SEC, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		CONNECTION_MEMORY, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
		MHD_OPTION_ARRAY, threads > 1 ? pool : none, MHD_OPTION_END);
}

/* The forked process. Serves until the other end of the pipe is closed. */
static bool
serve(const struct limits_plan *plan, int listener, int life)
{
	struct server server = {.suspend = plan->suspend,
				.hold_usec = plan->hold_usec,
				.lock = PTHREAD_MUTEX_INITIALIZER,
				.parked = PTHREAD_COND_INITIALIZER};
	pthread_t resumer;
	char byte;
	server.answer = constant_answer();
	if (server.answer == NULL || pthread_create(&resumer, NULL, resume_parked, &server) != 0)
		return limits_failed("server", "memory or threads are out");
	struct MHD_Daemon *daemon = start_daemon(&server, plan, listener);
	if (daemon == NULL)
		return limits_failed("server", "libmicrohttpd does not start");
	while (read(life, &byte, 1) == -1 && errno == EINTR)
		continue;

	/* The end of the process is the end of its threads and connections. */
	return true;
}

static int
listen_free(uint16_t *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener == -1)
		return -1;
	if (bind(listener, (struct sockaddr *)&address, size) == -1 ||
	    listen(listener, BACKLOG) == -1 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) == -1) {
		(void)close(listener);
		return -1;
	}
	*port = ntohs(address.sin_port);
	return listener;
}

bool
limits_server_start(struct limits_server *server, const struct limits_plan *plan)
{
	int life[2];
	int listener = listen_free(&server->port);
	if (listener == -1 || pipe(life) == -1)
		return limits_failed("listen", strerror(errno));
	server->pid = fork();
	if (server->pid == -1)
		return limits_failed("fork", strerror(errno));
	if (server->pid == 0) {
		(void)close(life[1]);
		_exit(serve(plan, listener, life[0]) ? 0 : 1);
	}
	(void)close(life[0]);
	(void)close(listener);
	server->life = life[1];
	server->answer_size = sizeof(ANSWER) - 1;
	return true;
}

bool
limits_server_stop(struct limits_server *server)
{
	int outcome = 0;
	(void)close(server->life);
	while (waitpid(server->pid, &outcome, 0) == -1) {
		if (errno != EINTR)
			return limits_failed("server", strerror(errno));
	}
	return outcome == 0 || limits_failed("server", "it failed");
}
