#include "cli/scratch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATHS_MAX 8

/* A signal handler can be given nothing. */
static struct {
	const char *volatile paths[PATHS_MAX];
	bool is_watching;
} scratch;

static void
remove_path(const char *path)
{
	if (unlink(path) == -1)
		(void)rmdir(path);
}

static void
remove_all(void)
{
	for (int i = PATHS_MAX - 1; i >= 0; i--) {
		if (scratch.paths[i] != NULL)
			remove_path(scratch.paths[i]);
	}
}

/* The process ends by that very signal, as whoever waits for it expects. */
static void
on_signal(int number)
{
	remove_all();
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

static void
watch(void)
{
	static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

	if (scratch.is_watching)
		return;
	scratch.is_watching = true;
	(void)atexit(remove_all);
	for (size_t i = 0; i < sizeof(SIGNALS) / sizeof(SIGNALS[0]); i++) {
		struct sigaction before;

		/* What nohup or a shell has turned off stays off. */
		if (sigaction(SIGNALS[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
			(void)signal(SIGNALS[i], on_signal);
	}
}

bool
scratch_remember(const char *path)
{
	watch();
	for (int i = 0; i < PATHS_MAX; i++) {
		if (scratch.paths[i] == NULL) {
			scratch.paths[i] = path;
			return true;
		}
	}
	return false;
}

void
scratch_forget(const char *path)
{
	for (int i = 0; i < PATHS_MAX; i++) {
		if (scratch.paths[i] == path)
			scratch.paths[i] = NULL;
	}
}

void
scratch_remove(const char *path)
{
	remove_path(path);
	scratch_forget(path);
}
