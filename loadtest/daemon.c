#include "loadtest/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* The longest of the files that are read here, /proc/PID/status, is about 1.5 KiB. */
#define FILE_SIZE_MAX 8192
#define NAME_SIZE 48
#define PATH_SIZE 96

/* At rest: so little CPU in so long a time. The daemon's timers alone use less. */
#define REST_CPU_SEC 0.015
#define REST_USEC UINT64_C(1500000)
#define LOOK_USEC UINT64_C(100000)

/* Reads /proc/PID/name as a string. */
static bool
read_of(pid_t pid, const char *name, char text[FILE_SIZE_MAX])
{
	char path[PATH_SIZE];
	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	size_t size = fread(text, 1, FILE_SIZE_MAX - 1, file);
	text[size] = '\0';
	bool good = ferror(file) == 0;
	fclose(file);
	return good;
}

/* The number behind a line's "key:", 0 when there is no such line. */
static uint64_t
number_after(const char *text, const char *key)
{
	const char *line = text;
	size_t size = strlen(key);
	while (line != NULL && strncmp(line, key, size) != 0) {
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	return line == NULL ? 0 : strtoull(line + size, NULL, 10);
}

/* A thread may end between the listing and the reading: then it is left out. */
static void
add_switches(pid_t pid, const char *thread, struct daemon_usage *usage)
{
	char name[NAME_SIZE], text[FILE_SIZE_MAX];
	snprintf(name, sizeof(name), "task/%lu/status", strtoul(thread, NULL, 10));
	if (!read_of(pid, name, text))
		return;
	usage->voluntary_switches += number_after(text, "voluntary_ctxt_switches:");
	usage->involuntary_switches += number_after(text, "nonvoluntary_ctxt_switches:");
}

static void
sample_threads(pid_t pid, struct daemon_usage *usage)
{
	char path[PATH_SIZE];
	snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
	DIR *folder = opendir(path);
	if (folder == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		if (entry->d_name[0] != '.')
			add_switches(pid, entry->d_name, usage);
	}
	closedir(folder);
}

/* User and system time: fields 14 and 15 of /proc/PID/stat, counted from behind the name, which may
 * hold anything. */
static bool
sample_times(pid_t pid, struct daemon_usage *usage)
{
	char text[FILE_SIZE_MAX];
	if (!read_of(pid, "stat", text))
		return false;
	char *at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 14; field++)
		at = strchr(at + 1, ' ');
	if (at == NULL)
		return false;
	const double tick = (double)sysconf(_SC_CLK_TCK);
	usage->user_sec = (double)strtoull(at, &at, 10) / tick;
	usage->system_sec = (double)strtoull(at, &at, 10) / tick;
	return true;
}

static bool
sample_cpu(pid_t pid, double *seconds)
{
	clockid_t clock;
	struct timespec time;
	int error = clock_getcpuclockid(pid, &clock);
	if (error == 0 && clock_gettime(clock, &time) == -1)
		error = errno;
	if (error != 0) {
		fprintf(stderr, "edgereplay-load: cannot look at process %ld: %s\n", (long)pid,
			strerror(error));
		return false;
	}
	*seconds = (double)time.tv_sec + (double)time.tv_nsec / 1e9;
	return true;
}

bool
daemon_sample(pid_t pid, struct daemon_usage *usage)
{
	char text[FILE_SIZE_MAX];
	*usage = (struct daemon_usage){0};
	if (!sample_cpu(pid, &usage->cpu_sec))
		return false;
	if (!sample_times(pid, usage) || !read_of(pid, "status", text)) {
		fprintf(stderr, "edgereplay-load: cannot read /proc/%ld: %s\n", (long)pid,
			strerror(errno));
		return false;
	}
	usage->peak_memory_bytes = number_after(text, "VmHWM:") * 1024;
	sample_threads(pid, usage);
	if (read_of(pid, "io", text))
		usage->write_bytes = number_after(text, "write_bytes:");
	return true;
}

bool
daemon_rest(pid_t pid, double at_most_sec, struct daemon_usage *usage, double *rested_sec)
{
	const uint64_t begin = clock_monotonic_usec();
	uint64_t now = begin, calm_since = begin;
	double seconds, calm_cpu;

	if (!sample_cpu(pid, &calm_cpu))
		return false;
	while (now - calm_since < REST_USEC && (double)(now - begin) / 1e6 < at_most_sec) {
		usleep((useconds_t)LOOK_USEC);
		if (!sample_cpu(pid, &seconds))
			return false;
		now = clock_monotonic_usec();
		if (seconds - calm_cpu > REST_CPU_SEC) {
			calm_since = now;
			calm_cpu = seconds;
		}
	}
	*rested_sec = (double)(calm_since - begin) / 1e6;
	return daemon_sample(pid, usage);
}

/* Counts can fall when a thread has ended. */
static uint64_t
grown(uint64_t before, uint64_t after)
{
	return after > before ? after - before : 0;
}

void
daemon_difference(const struct daemon_usage *before, const struct daemon_usage *after,
		  struct daemon_usage *difference)
{
	*difference = (struct daemon_usage){
		.cpu_sec = after->cpu_sec - before->cpu_sec,
		.user_sec = after->user_sec - before->user_sec,
		.system_sec = after->system_sec - before->system_sec,
		.peak_memory_bytes = after->peak_memory_bytes,
		.voluntary_switches = grown(before->voluntary_switches, after->voluntary_switches),
		.involuntary_switches =
			grown(before->involuntary_switches, after->involuntary_switches),
		.write_bytes = grown(before->write_bytes, after->write_bytes),
	};
}
