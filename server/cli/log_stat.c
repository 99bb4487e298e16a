#include "cli/log_stat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/json_text.h"
#include "cli/report.h"
#include "cli/source.h"

/* More are counted, but not told apart. */
#define DEVICES_MAX 1000
#define OUT_SIZE_MAX ((size_t)16 << 20)

struct device {
	char name[DEVICE_SIZE_MAX];
	size_t name_size;
	uint64_t actions, oldest, newest; /* stamps */
};

struct figures {
	struct source source;
	struct position end;
	uint64_t bytes, payload_bytes, payload_bytes_max, redacted;
	uint64_t received_first, received_last; /* 0: not known */
	uint64_t rows_of_others;		/* of devices beyond the limit */
	size_t device_count;
	struct device devices[DEVICES_MAX];
};

static struct device *
find_device(struct figures *figures, struct text name)
{
	struct device *device = figures->devices;

	for (; device < figures->devices + figures->device_count; device++) {
		if (text_equal(name, (struct text){device->name, device->name_size}))
			return device;
	}
	if (figures->device_count == DEVICES_MAX)
		return NULL;
	figures->device_count++;
	memcpy(device->name, name.data, name.size);
	device->name_size = name.size;
	device->oldest = TS_MAX;
	return device;
}

static bool
count(void *cookie, const struct sourced *sourced)
{
	struct figures *figures = cookie;
	const struct action *action = &sourced->logged.kept.action;
	struct device *device = find_device(figures, action->device);

	figures->bytes += action_size(action);
	figures->payload_bytes += action->payload.size;
	if (action->payload.size > figures->payload_bytes_max)
		figures->payload_bytes_max = action->payload.size;
	figures->redacted += sourced->logged.kept.redacted;
	if (figures->received_first == 0)
		figures->received_first = sourced->received_at;
	if (sourced->received_at > 0)
		figures->received_last = sourced->received_at;
	if (device == NULL) {
		figures->rows_of_others++;
		return true;
	}
	device->actions++;
	device->oldest = action->ts < device->oldest ? action->ts : device->oldest;
	device->newest = action->ts > device->newest ? action->ts : device->newest;
	return true;
}

static void
write_json(const struct figures *figures, struct buffer *out)
{
	buffer_append_text(out, TEXT("{\"log\":"));
	json_write_string(out, text_of(figures->source.log));
	buffer_printf(out, ",\"seq\":%" PRIu64 ",\"stateHash\":", figures->end.seq);
	json_write_hash(out, &figures->end.link);
	buffer_printf(out,
		      ",\"bytes\":%" PRIu64 ",\"payloadBytes\":%" PRIu64
		      ",\"payloadBytesMax\":%" PRIu64 ",\"redacted\":%" PRIu64,
		      figures->bytes, figures->payload_bytes, figures->payload_bytes_max,
		      figures->redacted);
	if (figures->received_last > 0)
		buffer_printf(out, ",\"receivedFirst\":%" PRIu64 ",\"receivedLast\":%" PRIu64,
			      figures->received_first, figures->received_last);
	buffer_printf(out, ",\"actionsOfOtherDevices\":%" PRIu64 ",\"devices\":[",
		      figures->rows_of_others);
	for (size_t i = 0; i < figures->device_count; i++) {
		const struct device *device = &figures->devices[i];

		buffer_append_text(out, i > 0 ? TEXT(",{\"device\":") : TEXT("{\"device\":"));
		json_write_string(out, (struct text){device->name, device->name_size});
		buffer_printf(out,
			      ",\"actions\":%" PRIu64 ",\"oldest\":%" PRIu64 ",\"newest\":%" PRIu64
			      "}",
			      device->actions, device->oldest, device->newest);
	}
	buffer_append_text(out, TEXT("]}\n"));
}

static void
write_words(const struct figures *figures, struct buffer *out)
{
	char link[HASH_TEXT_SIZE];
	char first[CLOCK_TEXT_SIZE], last[CLOCK_TEXT_SIZE];

	hash_to_text(&figures->end.link, link);
	buffer_printf(out,
		      "log         %s\nactions     %" PRIu64
		      ", every one verified\nstate hash  %.*s\n"
		      "bytes       %" PRIu64 ", as limits.log_bytes counts\n"
		      "payloads    %" PRIu64 " bytes, the largest %" PRIu64 "\n",
		      figures->source.log, figures->end.seq, HASH_TEXT_SIZE, link, figures->bytes,
		      figures->payload_bytes, figures->payload_bytes_max);
	if (figures->redacted > 0)
		buffer_printf(out, "redacted    %" PRIu64 "\n", figures->redacted);
	if (figures->received_last > 0) {
		clock_format(figures->received_first, first);
		clock_format(figures->received_last, last);
		buffer_printf(out, "received    %s to %s\n", first, last);
	}
	for (size_t i = 0; i < figures->device_count; i++) {
		const struct device *device = &figures->devices[i];

		clock_format(device->oldest, first);
		clock_format(device->newest, last);
		buffer_printf(out, "device      %.*s: %" PRIu64 " actions, stamped %s to %s\n",
			      (int)device->name_size, device->name, device->actions, first, last);
	}
	if (figures->rows_of_others > 0)
		buffer_printf(out, "and others  %" PRIu64 " actions of more devices\n",
			      figures->rows_of_others);
}

enum exit_code
log_stat(const struct cli_options *options)
{
	static struct figures figures; /* too large for the stack */
	struct buffer out;
	enum exit_code code = source_open(&figures.source, options, options->log);

	if (code == EXIT_FINE)
		code = source_read(&figures.source, &figures.end, count, &figures);
	if (code != EXIT_FINE)
		return code;
	buffer_init(&out, OUT_SIZE_MAX);
	if (options->json)
		write_json(&figures, &out);
	else
		write_words(&figures, &out);
	fwrite(out.data, 1, out.size, stdout);
	buffer_release(&out);
	return report_output_done() ? EXIT_FINE : EXIT_LOCAL;
}
