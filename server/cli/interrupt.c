#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

#include "cli/report.h"

static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP};
#define SIGNAL_COUNT (sizeof(SIGNALS) / sizeof(SIGNALS[0]))

/* A signal handler can be given nothing. */
static struct {
	volatile sig_atomic_t came; /* its number; 0: none */
	void (*clean_up)(void *cookie);
	void *cookie;
} interrupt;

static void
set_handlers(void (*handler)(int), void (*instead_of)(int))
{
	for (size_t i = 0; i < SIGNAL_COUNT; i++) {
		struct sigaction action;

		/* What nohup or a shell has turned off stays off. */
		if (sigaction(SIGNALS[i], NULL, &action) != 0 || action.sa_handler != instead_of)
			continue;
		action.sa_handler = handler;
		action.sa_flags = SA_RESTART;
		(void)sigaction(SIGNALS[i], &action, NULL);
	}
}

static void
on_signal(int number)
{
	if (interrupt.came != 0) {
		(void)signal(number, SIG_DFL);
		(void)raise(number);
	}
	interrupt.came = number;
}

void
interrupt_watch(void (*clean_up)(void *cookie), void *cookie)
{
	interrupt.clean_up = clean_up;
	interrupt.cookie = cookie;
	set_handlers(on_signal, SIG_DFL);
}

static void
end(void)
{
	const int number = interrupt.came;

	if (number == 0)
		return;
	report_progress_end();
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

void
interrupt_look(void)
{
	if (interrupt.came != 0 && interrupt.clean_up != NULL)
		interrupt.clean_up(interrupt.cookie);
	end();
}

void
interrupt_forget(void)
{
	set_handlers(SIG_DFL, on_signal);
	interrupt.clean_up = NULL;
	end();
}
