#include "admin/exposition.h"

#include <string.h>

#include "base/text.h"

static void
put(struct exposition *exposition, const char *word)
{
	buffer_append_text(exposition->out, text_of(word));
}

/* "# TYPE edgereplay_actions" */
static void
put_about(struct exposition *exposition, const char *what)
{
	put(exposition, "# ");
	put(exposition, what);
	put(exposition, " ");
	put(exposition, exposition->family);
	if (!exposition->open_metrics && strcmp(exposition->type, "counter") == 0)
		put(exposition, "_total");
	put(exposition, " ");
}

static const char *
unit_of(const char *family)
{
	static const char *const units[] = {"seconds", "bytes"};
	const size_t size = strlen(family);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		const size_t unit = strlen(units[i]);
		if (size > unit && family[size - unit - 1] == '_' &&
		    strcmp(family + size - unit, units[i]) == 0)
			return units[i];
	}
	return NULL;
}

void
exposition_family(struct exposition *exposition, const char *type, const char *family,
		  const char *help)
{
	if (exposition->family != NULL && strcmp(exposition->family, family) == 0)
		return;
	exposition->family = family;
	exposition->type = type;
	put_about(exposition, "TYPE");
	put(exposition, type);
	put(exposition, "\n");
	if (exposition->open_metrics && unit_of(family) != NULL) {
		put_about(exposition, "UNIT");
		put(exposition, unit_of(family));
		put(exposition, "\n");
	}
	put_about(exposition, "HELP");
	put(exposition, help);
	put(exposition, "\n");
}

static void
put_value(struct exposition *exposition, uint64_t value, unsigned decimals)
{
	uint64_t scale = 1;
	for (unsigned i = 0; i < decimals; i++)
		scale *= 10;
	buffer_append_u64(exposition->out, value / scale);
	if (decimals > 0)
		buffer_printf(exposition->out, ".%0*ju", (int)decimals, (uintmax_t)(value % scale));
}

void
exposition_sample(struct exposition *exposition, const char *suffix, const char *labels,
		  uint64_t value, unsigned decimals)
{
	put(exposition, exposition->family);
	put(exposition, suffix);
	if (labels != NULL) {
		put(exposition, "{");
		put(exposition, labels);
		put(exposition, "}");
	}
	put(exposition, " ");
	put_value(exposition, value, decimals);
	put(exposition, "\n");
}

void
exposition_end(struct exposition *exposition)
{
	if (exposition->open_metrics)
		put(exposition, "# EOF\n");
}
