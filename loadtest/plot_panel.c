#include "loadtest/plot_panel.h"

#include <math.h>

#define LEFT 80.0
#define RIGHT 24.0
#define HEAD 44.0 /* above the axes: title and legend */
#define FOOT 52.0 /* below: labels and their title */
#define TICKS_Y 5
#define LEGEND_WIDTH 170.0
#define PIXELS_MIN 0.8

static const char *const colours[] = {"#2563eb", "#d97706", "#dc2626"};

static double
place_x(const struct panel *panel, double x)
{
	double share = x < panel->x_max ? x / panel->x_max : 1;
	return LEFT + share * (PICTURE_WIDTH - LEFT - RIGHT);
}

static double
place_y(const struct panel *panel, double y)
{
	double share = y < panel->y_max ? y / panel->y_max : 1;
	return panel->top + HEAD + (1 - share) * (PANEL_HEIGHT - HEAD - FOOT);
}

void
panel_begin(const struct panel *panel)
{
	const double left = place_x(panel, 0), right = place_x(panel, panel->x_max);
	const double low = place_y(panel, 0);

	fprintf(panel->file, "<text class=\"title\" x=\"%.0f\" y=\"%.1f\">%s</text>\n", LEFT,
		panel->top + 20, panel->title);
	for (int i = 0; i <= TICKS_Y; i++) {
		double value = panel->y_max * i / TICKS_Y, y = place_y(panel, value);
		fprintf(panel->file,
			"<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>"
			"<text class=\"y\" x=\"%.1f\" y=\"%.1f\">%.10g</text>\n",
			left, y, right, left - 8, y + 4, value);
	}
	fprintf(panel->file, "<text class=\"x\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
		(left + right) / 2, low + 40, panel->x_title);
}

void
panel_tick_x(const struct panel *panel, double x, const char *label)
{
	const double at = place_x(panel, x), low = place_y(panel, 0);
	fprintf(panel->file,
		"<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>"
		"<text class=\"x\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
		at, place_y(panel, panel->y_max), low, at, low + 18, label);
}

void
panel_say(const struct panel *panel, const char *text)
{
	fprintf(panel->file, "<text class=\"x\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
		place_x(panel, panel->x_max / 2), place_y(panel, panel->y_max / 2), text);
}

struct line
line_begin(struct panel *panel, const char *name)
{
	const char *colour = colours[panel->lines % (sizeof(colours) / sizeof(colours[0]))];
	double x = PICTURE_WIDTH - RIGHT - LEGEND_WIDTH * (panel->lines + 1);
	double y = panel->top + 20;

	panel->lines++;
	fprintf(panel->file,
		"<path class=\"line\" stroke=\"%s\" d=\"M%.1f %.1fh22\"/>"
		"<text x=\"%.1f\" y=\"%.1f\">%s</text>\n",
		colour, x, y - 4, x + 28, y, name);
	fprintf(panel->file, "<path class=\"line\" stroke=\"%s\" d=\"", colour);
	return (struct line){.panel = panel, .x = place_x(panel, 0)};
}

void
line_step(struct line *line, double x, double y)
{
	const double to_x = place_x(line->panel, x), to_y = place_y(line->panel, y);
	if (line->begun && to_x - line->x < PIXELS_MIN && fabs(to_y - line->y) < PIXELS_MIN)
		return;
	if (line->begun)
		fprintf(line->panel->file, "V%.1f", to_y);
	else
		fprintf(line->panel->file, "M%.1f %.1f", line->x, to_y);
	fprintf(line->panel->file, "H%.1f\n", to_x);
	line->begun = true;
	line->x = to_x;
	line->y = to_y;
}

void
line_end(struct line *line)
{
	/* A path without a move is none. */
	fprintf(line->panel->file, "%s\"/>\n", line->begun ? "" : "M0 0");
}

double
axis_max(double value)
{
	static const double steps[] = {1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10};
	if (value <= 0)
		return 1;
	double power = pow(10, floor(log10(value)));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (value <= steps[i] * power)
			return steps[i] * power;
	}
	return 10 * power;
}
