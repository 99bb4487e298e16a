#include "cli/rate.h"

#include "base/option.h"
#include "cli/report.h"

#define RATE_MAX ((uint64_t)1 << 40)

bool
rate_parse(const char *value, uint64_t *rate)
{
	static const struct option bytes = {.type = OPTION_BYTES, .max = RATE_MAX};

	if (option_parse(&bytes, text_of(value), rate))
		return true;
	report_error("--rate=%s: bytes a second are needed, " OPTION_UNITS
		     " may follow; 0: no limit",
		     value);
	return false;
}
