#include "notify.h"

#include <stddef.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"

/* What comes late once must not count as never. */
#define CALLS_PER_WATCHDOG 4

int
notify_socket(void)
{
	const int count = sd_listen_fds(1);
	if (count > 1)
		log_warn("main", "more than one socket was passed in; only the first is used",
			 LOG_I64("count", count));
	return count >= 1 ? SD_LISTEN_FDS_START : -1;
}

void
notify_ready(unsigned shards_down, uint64_t shards)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=%u of %llu shards down", shards_down,
			 (unsigned long long)shards);
}

void
notify_reloading(void)
{
	(void)sd_notify(0, "RELOADING=1");
}

void
notify_reloaded(void)
{
	(void)sd_notify(0, "READY=1");
}

void
notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

uint64_t
notify_interval_usec(void)
{
	uint64_t usec = 0;
	return sd_watchdog_enabled(0, &usec) > 0 ? usec / CALLS_PER_WATCHDOG : 0;
}

void
notify_alive(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}
