#include "loadtest/plot.h"

#include <math.h>

#include "loadtest/plot_panel.h"

#define HEADING 56
#define PANELS 3
#define NINES_MAX 6 /* of the axis of percentiles: up to 99.9999 % */
#define TICKS_X 10
#define LABEL_SIZE 32

static void
print_escaped(FILE *file, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '&')
			fputs("&amp;", file);
		else if (*text == '<')
			fputs("&lt;", file);
		else if (*text == '>')
			fputs("&gt;", file);
		else
			fputc((unsigned char)*text < ' ' ? ' ' : *text, file);
	}
}

static void
begin_picture(FILE *file, const char *title)
{
	const int height = HEADING + PANELS * PANEL_HEIGHT;
	fprintf(file,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\">\n",
		PICTURE_WIDTH, height, PICTURE_WIDTH, height);
	fputs("<style>text{font:13px system-ui,sans-serif;fill:#374151}"
	      ".head{font-size:17px;font-weight:600;fill:#111827}"
	      ".title{font-size:14px;font-weight:600}.y{text-anchor:end}.x{text-anchor:middle}"
	      ".grid{stroke:#e5e7eb;fill:none}"
	      ".line{fill:none;stroke-width:1.8;stroke-linejoin:round}</style>\n"
	      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
	      "<text class=\"head\" x=\"80\" y=\"34\">",
	      file);
	print_escaped(file, title);
	fputs("</text>\n", file);
}

/* --- latency over percentiles --- */

/* How many nines a share of so many values has at most: of 1000 values, 3. */
static double
nines_of(double total)
{
	double nines = total > 10 ? log10(total) : 1;
	return nines < NINES_MAX ? nines : NINES_MAX;
}

static void
tick_percentiles(const struct panel *panel)
{
	static const char *const labels[] = {"0 %",	"90 %",	    "99 %",	"99.9 %",
					     "99.99 %", "99.999 %", "99.9999 %"};
	for (int i = 0; i <= NINES_MAX && i <= panel->x_max; i++)
		panel_tick_x(panel, i, labels[i]);
}

static void
draw_histogram(struct panel *panel, const char *name, const struct histogram *histogram)
{
	struct histogram_step step = {0};
	if (histogram->total == 0)
		return;
	struct line line = line_begin(panel, name);
	while (histogram_next(histogram, &step)) {
		/* The largest values would be infinitely far to the right. */
		uint64_t above = histogram->total - step.up_to;
		double nines =
			above == 0 ? panel->x_max : log10((double)histogram->total / (double)above);
		line_step(&line, nines, (double)step.value / 1e3);
	}
	line_end(&line);
}

static void
draw_latency(FILE *file, double top, const struct result *result)
{
	double highest = 0, total = 0;
	const struct histogram *all[] = {&result->latency, &result->service, &result->refused};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		highest = fmax(highest, (double)all[i]->max / 1e3);
		total = fmax(total, (double)all[i]->total);
	}
	struct panel panel = {.file = file,
			      .top = top,
			      .x_max = nines_of(total),
			      .y_max = axis_max(highest),
			      .title = "Latency, milliseconds",
			      .x_title = "share of the requests that took no longer"};
	panel_begin(&panel);
	tick_percentiles(&panel);
	if (total == 0)
		panel_say(&panel, "no request was answered");
	draw_histogram(&panel, "accepted", &result->latency);
	/* In a closed loop it is the same line. */
	if (result->offered > 0)
		draw_histogram(&panel, "accepted, once sent", &result->service);
	draw_histogram(&panel, "refused", &result->refused);
}

/* --- throughput over time --- */

enum amount { AMOUNT_REQUESTS, AMOUNT_ACTIONS, AMOUNT_REFUSED };

/* The run ends where it ends: a last interval of less than half the length would be all noise. */
static size_t
intervals_of(const struct result *result)
{
	const size_t count = result->series_count;
	if (count < 2)
		return count;
	double last_sec = result->seconds - result->series[count - 2].end_sec;
	return last_sec < result->series[0].end_sec / 2 ? count - 1 : count;
}

static double
rate_of(const struct result *result, size_t i, enum amount amount)
{
	const struct result_interval *interval = &result->series[i];
	double seconds = interval->end_sec - (i > 0 ? result->series[i - 1].end_sec : 0);
	uint64_t count = amount == AMOUNT_REQUESTS  ? interval->requests
			 : amount == AMOUNT_ACTIONS ? interval->actions
						    : interval->refused;
	return seconds > 0 ? (double)count / seconds : 0;
}

static double
highest_rate(const struct result *result, enum amount amount)
{
	double highest = 0;
	for (size_t i = 0; i < intervals_of(result); i++)
		highest = fmax(highest, rate_of(result, i, amount));
	return highest;
}

static void
draw_rate(struct panel *panel, const char *name, const struct result *result, enum amount amount)
{
	if (highest_rate(result, amount) == 0)
		return;
	struct line line = line_begin(panel, name);
	for (size_t i = 0; i < intervals_of(result); i++)
		line_step(&line, result->series[i].end_sec, rate_of(result, i, amount));
	line_end(&line);
}

/* The axes of a panel over time. */
static struct panel
begin_rates(FILE *file, double top, const char *title, const struct result *result, double highest)
{
	const size_t count = intervals_of(result);
	struct panel panel = {.file = file,
			      .top = top,
			      .x_max = count > 0 ? result->series[count - 1].end_sec : 1,
			      .y_max = axis_max(highest),
			      .title = title,
			      .x_title = "seconds"};
	if (panel.x_max <= 0)
		panel.x_max = 1;
	const double tick = axis_max(panel.x_max / TICKS_X);
	panel_begin(&panel);
	for (int i = 0; i * tick <= panel.x_max; i++) {
		char label[LABEL_SIZE];
		snprintf(label, sizeof(label), "%.10g", i * tick);
		panel_tick_x(&panel, i * tick, label);
	}
	if (highest == 0)
		panel_say(&panel, "nothing was measured");
	return panel;
}

static void
draw_requests(FILE *file, double top, const struct result *result)
{
	double highest =
		fmax(highest_rate(result, AMOUNT_REQUESTS), highest_rate(result, AMOUNT_REFUSED));
	struct panel panel = begin_rates(file, top, "Requests a second", result, highest);
	draw_rate(&panel, "accepted", result, AMOUNT_REQUESTS);
	draw_rate(&panel, "refused", result, AMOUNT_REFUSED);
}

static void
draw_actions(FILE *file, double top, const struct result *result)
{
	double highest = highest_rate(result, AMOUNT_ACTIONS);
	struct panel panel = begin_rates(file, top, "Actions a second", result, highest);
	draw_rate(&panel, "acknowledged", result, AMOUNT_ACTIONS);
}

bool
plot_write(FILE *file, const char *title, const struct result *result)
{
	begin_picture(file, title);
	draw_latency(file, HEADING, result);
	draw_requests(file, HEADING + PANEL_HEIGHT, result);
	draw_actions(file, HEADING + 2 * PANEL_HEIGHT, result);
	fputs("</svg>\n", file);
	return fflush(file) == 0 && ferror(file) == 0;
}
