#include "cli/report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/json_text.h"

#define BAR_WIDTH 30
#define REDRAW_MSEC 100
#define ERROR_SIZE 4096

/* The one terminal of the process. */
static struct {
	bool quiet;
	bool drawn;
	uint64_t drawn_at;
} terminal;

/* And its stdout, where it is to have JSON. */
static struct {
	bool is_json;
	bool written;		/* something is on it */
	char error[ERROR_SIZE]; /* the first: what follows comes of it */
} output;

static ssize_t
write_output(void *cookie, const char *data, size_t size)
{
	(void)cookie;
	const ssize_t written = write(STDOUT_FILENO, data, size);

	output.written = true;
	return written == -1 ? 0 : written;
}

void
report_expect_json(void)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_output});

	output.is_json = stream != NULL;
	if (stream != NULL)
		stdout = stream;
}

void
report_failure(void)
{
	const struct text error =
		text_of(output.error[0] != '\0' ? output.error : "see the exit code");
	struct buffer out;

	(void)fflush(stdout);
	if (!output.is_json || output.written)
		return;
	buffer_init(&out, 8 * ERROR_SIZE);
	buffer_append_text(&out, TEXT("{\"error\":"));
	json_write_any(&out, error);
	buffer_append_text(&out, TEXT("}\n"));
	if (!out.failed)
		(void)fwrite(out.data, 1, out.size, stdout);
	(void)fflush(stdout);
	buffer_release(&out);
}

void
report_configure(bool quiet)
{
	terminal.quiet = quiet;
}

static void
write_line(const char *format, va_list arguments)
{
	report_progress_end();
	fputs("edgereplay: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void
report_error(const char *format, ...)
{
	va_list arguments;

	if (output.error[0] == '\0') {
		va_start(arguments, format);
		(void)vsnprintf(output.error, sizeof(output.error), format, arguments);
		va_end(arguments);
	}
	va_start(arguments, format);
	write_line(format, arguments);
	va_end(arguments);
}

void
report_note(const char *format, ...)
{
	va_list arguments;

	if (terminal.quiet)
		return;
	va_start(arguments, format);
	write_line(format, arguments);
	va_end(arguments);
}

void
report_progress(const char *what, uint64_t done, uint64_t total)
{
	uint64_t now = clock_monotonic_msec();

	if (terminal.quiet || (terminal.drawn && now - terminal.drawn_at < REDRAW_MSEC) ||
	    !isatty(STDERR_FILENO))
		return;
	terminal.drawn = true;
	terminal.drawn_at = now;
	if (total == 0) {
		fprintf(stderr, "\r\033[K%s %" PRIu64, what, done);
		return;
	}
	if (done > total)
		done = total;

	char bar[BAR_WIDTH + 1];
	int filled = (int)((double)done / (double)total * BAR_WIDTH);

	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r\033[K%s [%s] %" PRIu64 "/%" PRIu64, what, bar, done, total);
}

bool
report_output_done(void)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return true;
	report_error("stdout: cannot write");
	return false;
}

void
report_progress_end(void)
{
	if (terminal.drawn)
		fputs("\r\033[K", stderr);
	terminal.drawn = false;
}
