#include "admin/process.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define STAT_SIZE 1024

static uint64_t
count_descriptors(void)
{
	DIR *entries = opendir("/proc/self/fd");
	uint64_t count = 0;
	if (entries == NULL)
		return 0;
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries))
		count += entry->d_name[0] != '.';
	(void)closedir(entries);
	return count - 1; /* that of the listing */
}

/* Seconds since the epoch at which the machine was at zero of the clock that processes' starts are
 * counted by. */
static double
boot_time(void)
{
	struct timespec now, up;
	if (clock_gettime(CLOCK_REALTIME, &now) == -1 || clock_gettime(CLOCK_BOOTTIME, &up) == -1)
		return 0;
	return (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) / 1e9;
}

/* Of proc(5)'s numbered fields, those that are wanted. */
enum field { USER = 14, SYSTEM = 15, THREADS = 20, STARTED = 22, VIRTUAL = 23, RESIDENT = 24 };
#define FIRST_FIELD 3 /* behind the name, which is in parentheses and may hold anything */
#define FIELDS 25

static bool
read_fields(unsigned long long fields[FIELDS])
{
	char text[STAT_SIZE];
	FILE *file = fopen("/proc/self/stat", "re");
	if (file == NULL)
		return false;
	const size_t size = fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	text[size] = '\0';
	char *at = strrchr(text, ')');
	for (unsigned i = FIRST_FIELD; at != NULL && i < FIELDS; i++) {
		at = strchr(at, ' ');
		if (at != NULL)
			fields[i] = strtoull(++at, NULL, 10);
	}
	return at != NULL;
}

static void
read_stat(struct process_figures *figures)
{
	unsigned long long fields[FIELDS];
	if (!read_fields(fields))
		return;
	const double ticks = (double)sysconf(_SC_CLK_TCK);
	figures->cpu_usec = (uint64_t)((double)(fields[USER] + fields[SYSTEM]) / ticks * 1e6);
	figures->threads = fields[THREADS];
	figures->virtual_bytes = fields[VIRTUAL];
	figures->resident_bytes = fields[RESIDENT] * (uint64_t)sysconf(_SC_PAGESIZE);
	figures->started_msec = (uint64_t)((boot_time() + (double)fields[STARTED] / ticks) * 1000);
}

void
process_measure(struct process_figures *figures)
{
	struct rlimit limit;
	*figures = (struct process_figures){.descriptors = count_descriptors()};
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		figures->descriptors_max = limit.rlim_cur;
	read_stat(figures);
}
