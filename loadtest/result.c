#include "loadtest/result.h"

#include <stdlib.h>

enum status
result_init(struct result *result)
{
	*result = (struct result){.seconds = 0};
	if (histogram_init(&result->latency) != STATUS_OK ||
	    histogram_init(&result->service) != STATUS_OK ||
	    histogram_init(&result->refused) != STATUS_OK ||
	    histogram_init(&result->events) != STATUS_OK)
		return STATUS_INTERNAL;
	return STATUS_OK;
}

void
result_release(struct result *result)
{
	if (result == NULL)
		return;
	histogram_release(&result->latency);
	histogram_release(&result->service);
	histogram_release(&result->refused);
	histogram_release(&result->events);
	free(result->series);
	result->series = NULL;
}
