#include "loadtest/figures.h"

double
per(double amount, double whole)
{
	return whole > 0 ? amount / whole : 0;
}

double
actions_moved(const struct result *result)
{
	return (double)(result->replayed > 0 ? result->replayed : result->actions);
}

double
daemon_cpu_per_100k(const struct result *result)
{
	return per(result->daemon_settled.cpu_sec, actions_moved(result)) * 1e5;
}

double
load_cpu_per_100k(const struct result *result)
{
	return per(result->load_cpu_sec, actions_moved(result)) * 1e5;
}

double
percentile_msec(const struct histogram *histogram, double percent)
{
	return (double)histogram_percentile(histogram, percent) / 1e3;
}

double
mean_msec(const struct histogram *histogram)
{
	return histogram_mean(histogram) / 1e3;
}
