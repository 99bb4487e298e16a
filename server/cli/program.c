#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/report.h"

#define PENDING_SIZE ((size_t)65536)
#define PENDING_SIZE_MAX ((size_t)1 << 30)

/* A signal handler can be given nothing. 0: none runs. */
static volatile sig_atomic_t running;

static void
kill_group(void)
{
	if (running != 0)
		(void)kill(-(pid_t)running, SIGKILL);
	running = 0;
}

static void
on_signal(int number)
{
	kill_group();
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

/* The program is a group of its own, so that what it starts ends with it. Ctrl-C reaches it through
 * here. */
static void
watch(void)
{
	(void)signal(SIGINT, on_signal);
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGHUP, on_signal);
	(void)signal(SIGPIPE, SIG_IGN);
}

/* A signal waits until the handler knows the program. */
static int
spawn(struct program *program, const char *command, int input)
{
	char *const arguments[] = {"sh", "-c", (char *)command, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults, watched, before;
	pid_t pid = 0;
	int error;

	sigemptyset(&watched);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &watched, &before);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	if (program->output != -1)
		posix_spawn_file_actions_adddup2(&actions, program->output, STDOUT_FILENO);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setsigmask(&attributes, &before);
	error = posix_spawn(&pid, "/bin/sh", &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	program->pid = pid;
	if (error == 0)
		running = pid;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

bool
program_start(struct program *program, const char *command, bool captures)
{
	int ends[2] = {-1, -1};
	int error = 0;

	*program = (struct program){.input = -1, .output = -1};
	buffer_init(&program->pending, PENDING_SIZE_MAX);
	if (captures)
		program->output = memfd_create("output", MFD_CLOEXEC);
	if ((captures && program->output == -1) || pipe2(ends, O_CLOEXEC) == -1) {
		error = errno;
	} else {
		watch();
		error = spawn(program, command, ends[0]);
		close(ends[0]);
		program->input = ends[1];
	}
	if (error != 0)
		report_error("%s: %s", command, strerror(error));
	return error == 0;
}

static bool
flush(struct program *program)
{
	size_t done = 0;

	while (done < program->pending.size && !program->refuses) {
		const ssize_t size = write(program->input, program->pending.data + done,
					   program->pending.size - done);

		if (size >= 0)
			done += (size_t)size;
		else if (errno != EINTR)
			program->refuses = true;
	}
	program->pending.size = 0;
	return !program->refuses;
}

bool
program_feed(struct program *program, struct text text)
{
	buffer_append_text(&program->pending, text);
	if (program->pending.failed) {
		report_error("out of memory");
		return false;
	}
	return program->pending.size < PENDING_SIZE || flush(program);
}

static int
await(struct program *program)
{
	int state = 0;

	while (waitpid(program->pid, &state, 0) == -1 && errno == EINTR)
		continue;
	running = 0;
	return state;
}

bool
program_finish(struct program *program)
{
	const bool fed = flush(program);

	close(program->input);
	program->input = -1;
	const int state = await(program);
	if (WIFSIGNALED(state))
		report_error("the program was ended by signal %d", WTERMSIG(state));
	else if (WEXITSTATUS(state) != 0)
		report_error("the program ended with exit code %d", WEXITSTATUS(state));
	else if (!fed)
		report_error("the program ended before it had read all actions");
	return fed && WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

void
program_kill(struct program *program)
{
	kill_group();
	(void)await(program);
}

bool
program_output(const struct program *program, struct buffer *out)
{
	ssize_t size = 1;

	for (off_t at = 0; size > 0; at += size) {
		char *to = buffer_reserve(out, PENDING_SIZE);

		size = to == NULL ? -1 : pread(program->output, to, PENDING_SIZE, at);
		out->size += size > 0 ? (size_t)size : 0;
	}
	if (size == -1)
		report_error("what the program printed cannot be read");
	return size == 0;
}

void
program_release(struct program *program)
{
	if (program->input != -1)
		close(program->input);
	if (program->output != -1)
		close(program->output);
	buffer_release(&program->pending);
}
