#include "base/status.h"

#include "base/check.h"

static const struct status_info status_rows[] = {
#define STATUS_ROW(name, http_status, word, advice, words)                                         \
	[name] = {.code = (word), .title = (words), .http = (http_status), .retry = (advice)},
	STATUS_TABLE(STATUS_ROW)
#undef STATUS_ROW
};

const struct status_info *
status_info(enum status status)
{
	CHECK((unsigned)status < STATUS_COUNT);
	return &status_rows[status];
}

const char *
retry_word(enum retry retry)
{
	switch (retry) {
	case RETRY_NEVER:
		return "never";
	case RETRY_AFTER:
		return "after";
	case RETRY_AUTH:
		return "auth";
	case RETRY_SPLIT:
		return "split";
	case RETRY_REBASE:
		return "rebase";
	case RETRY_RESTAMP:
		return "restamp";
	case RETRY_SNAPSHOT:
		return "snapshot";
	}
	CHECK(!"a retry advice of the table");
	return "never";
}
