/*
 * plot_panel: one set of axes of a picture, and the stepped lines in it. Private to plot.
 *
 *     panel_begin ─▶ panel_tick_x … ─▶ line_begin ─▶ line_step … ─▶ line_end ─▶ … next line
 *
 * Coordinates of a panel are those of its axes, from 0 to x_max and y_max, both above 0.
 */
#ifndef LOADTEST_PLOT_PANEL_H
#define LOADTEST_PLOT_PANEL_H

#include <stdbool.h>
#include <stdio.h>

#define PICTURE_WIDTH 960
#define PANEL_HEIGHT 300 /* with its titles */

struct panel {
	FILE *file;
	double top; /* of the panel in the picture */
	double x_max, y_max;
	const char *title;
	const char *x_title;
	unsigned lines; /* so far */
};

/* Frame, titles, and the ticks of y. */
void panel_begin(const struct panel *);
void panel_tick_x(const struct panel *, double x, const char *label);

/* In place of lines: there is nothing to show. */
void panel_say(const struct panel *, const char *text);

struct line {
	struct panel *panel;
	bool begun;
	double x, y; /* where the pen is, in the picture */
};

/* name goes to the legend; the colour is the panel's next. */
struct line line_begin(struct panel *, const char *name);

/* A level from where the last one ended up to x. Levels too short to be seen are left out. */
void line_step(struct line *, double x, double y);
void line_end(struct line *);

/* The next number, from this one on, that is round enough for an axis. 1 for what is 0. */
double axis_max(double value);

#endif
