#include "base/failpoint.h"

#ifdef EDGEREPLAY_FAIL_POINTS

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

static const struct {
	const char *name, *passed_by;
} points[] = {
#define FAIL_POINT_ROW(point, name, passed_by) {name, passed_by},
	FAIL_POINT_TABLE(FAIL_POINT_ROW)
#undef FAIL_POINT_ROW
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum fail_point wanted = FAIL_POINT_COUNT;
static atomic_ulong passes_left;

static void
read_environment(void)
{
	const char *text = getenv("EDGEREPLAY_FAIL_POINT");
	if (text == NULL)
		return;
	const size_t size = strcspn(text, ":");
	unsigned point = 0;
	while (point < FAIL_POINT_COUNT &&
	       (strlen(points[point].name) != size || strncmp(points[point].name, text, size) != 0))
		point++;
	CHECK(point < FAIL_POINT_COUNT && text[size] == ':');
	wanted = (enum fail_point)point;
	atomic_store(&passes_left, strtoul(text + size + 1, NULL, 10));
}

void
fail_point_pass(enum fail_point point)
{
	CHECK(pthread_once(&once, read_environment) == 0);
	if (point == wanted && atomic_fetch_sub(&passes_left, 1) == 1)
		(void)kill(getpid(), SIGKILL);
}

void
fail_points_list(FILE *out)
{
	for (unsigned point = 0; point < FAIL_POINT_COUNT; point++)
		fprintf(out, "%s %s\n", points[point].name, points[point].passed_by);
}

#endif
