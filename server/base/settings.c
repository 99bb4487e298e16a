#include "base/settings.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

#include "base/check.h"

#define LINE_SIZE_MAX (OPTION_TEXT_SIZE + 256) /* of the INI file */
#define FILE_SIZE_MAX ((size_t)1024 * 1024)
#define SHOWN_MAX 200 /* bytes of a bad value that an error repeats */

void
settings_begin(struct settings *settings)
{
	CHECK(settings->count <= SETTINGS_OPTIONS_MAX);
	settings->problems = 0;
	settings->path = NULL;
	for (size_t i = 0; i < settings->count; i++) {
		const struct option *option = &settings->options[i];
		settings->set_by[i].source = FROM_TABLE;
		settings->set_by[i].line = 0;
		CHECK(option_parse(option, text_of(option->initial), settings->values));
	}
}

/* A value from outside must not be able to add a line or to move a terminal's cursor. */
static void
print_safely(FILE *out, struct text text)
{
	for (size_t i = 0; i < text.size && i < SHOWN_MAX; i++)
		putc(iscntrl((unsigned char)text.data[i]) ? '?' : text.data[i], out);
	fputs(text.size > SHOWN_MAX ? "…" : "", out);
}

static void
report_name(struct settings *settings, struct text name, const char *words)
{
	print_safely(settings->errors, name);
	fprintf(settings->errors, ": %s\n", words);
	settings->problems++;
}

__attribute__((format(printf, 2, 3))) static void
report_line(struct settings *settings, const char *format, ...)
{
	va_list arguments;
	fprintf(settings->errors, "%s:%u: ", settings->path, settings->line);
	va_start(arguments, format);
	vfprintf(settings->errors, format, arguments);
	va_end(arguments);
	putc('\n', settings->errors);
	settings->problems++;
}

/* <PREFIX>_<SECTION>_<KEY>, or the beginning of all of a section's when the key is empty. */
static void
environment_name(const struct settings *settings, const struct option *option, const char *key,
		 char name[128])
{
	(void)snprintf(name, 128, "%s_%s_%s", settings->prefix, option->section, key);
	for (char *at = name; *at != '\0'; at++)
		*at = (char)toupper((unsigned char)*at);
}

/* "edgereplay.ini:12: store.shards = 300", or the variable or the flag that set it. */
static void
print_setting(struct settings *settings, const struct option *option, struct text value)
{
	size_t i = (size_t)(option - settings->options);
	char name[128];
	switch (settings->set_by[i].source) {
	case FROM_FILE:
		fprintf(settings->errors, "%s:%u: ", settings->path, settings->set_by[i].line);
		break;
	case FROM_ENVIRONMENT:
		environment_name(settings, option, option->key, name);
		fprintf(settings->errors, "%s: ", name);
		break;
	case FROM_FLAG:
		fprintf(settings->errors, "--%s.%s: ", option->section, option->key);
		break;
	case FROM_TABLE:
		fputs("default: ", settings->errors);
		break;
	}
	fprintf(settings->errors, "%s.%s = ", option->section, option->key);
	print_safely(settings->errors, value);
}

static void
set_option(struct settings *settings, const struct option *option, enum settings_source source,
	   struct text value)
{
	size_t i = (size_t)(option - settings->options);
	if (source == FROM_FILE && settings->set_by[i].source == FROM_FILE)
		report_line(settings, "%s.%s is set a second time, after line %u", option->section,
			    option->key, settings->set_by[i].line);
	settings->set_by[i].source = source;
	settings->set_by[i].line = settings->line;
	if (option_parse(option, value, settings->values))
		return;
	print_setting(settings, option, value);
	fputs(" is not allowed; allowed: ", settings->errors);
	option_print_range(option, settings->errors);
	putc('\n', settings->errors);
	settings->problems++;
}

static bool
is_section(const struct settings *settings, struct text name)
{
	for (size_t i = 0; i < settings->count; i++) {
		if (text_equal(name, text_of(settings->options[i].section)))
			return true;
	}
	return false;
}

/* Says what libinih would not: which section is unknown, and each line that is nothing at all, not
 * only the first. Returns whether libinih may see the line. */
static bool
screen_line(struct settings *settings, const char *line)
{
	const char *start = line + strspn(line, " \t\r\v\f");
	if (*start == '\0' || *start == ';' || *start == '#')
		return true;
	if (*start != '[') {
		if (strpbrk(start, "=:") != NULL)
			return true;
		report_line(settings, "neither a [section], nor key = value, nor a comment");
		return false;
	}
	const char *end = strchr(start, ']');
	settings->section_seen = true;
	settings->section_known = false;
	if (end == NULL || end[1 + strspn(end + 1, " \t\r")] != '\0') {
		report_line(settings, "a section is written [name] and nothing else");
		return false;
	}
	struct text name = {start + 1, (size_t)(end - start) - 1};
	settings->section_known = is_section(settings, name);
	if (!settings->section_known) {
		fprintf(settings->errors, "%s:%u: unknown section [", settings->path,
			settings->line);
		print_safely(settings->errors, name);
		fputs("]\n", settings->errors);
		settings->problems++;
	}
	return settings->section_known;
}

/* The reader of ini_parse_stream(): Debian's libinih does not tell its handler the line, so it is
 * counted here. A line that is refused is shown to libinih as an empty one. */
static char *
read_line(char *line, int size, void *cookie)
{
	struct settings *settings = cookie;
	size_t used = 0;
	bool nul = false;
	bool whole = true;
	int byte = getc(settings->file);
	if (byte == EOF)
		return NULL;
	for (; byte != EOF && byte != '\n'; byte = getc(settings->file)) {
		if (++settings->size > FILE_SIZE_MAX) {
			report_name(settings, text_of(settings->path), "larger than 1 MiB");
			return NULL;
		}
		nul = nul || byte == '\0';
		whole = whole && used + 1 < (size_t)size;
		if (whole)
			line[used++] = (char)byte;
	}
	line[used] = '\0';
	settings->line++;
	if (settings->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
		memmove(line, line + 3, used - 2);
	if (nul)
		report_line(settings, "a NUL byte");
	else if (!whole)
		report_line(settings, "longer than %d bytes", size - 1);
	if (nul || !whole || !screen_line(settings, line))
		line[0] = '\0';
	return line;
}

static int
take_pair(void *cookie, const char *section, const char *key, const char *value)
{
	struct settings *settings = cookie;
	const struct option *option = settings_find(settings, text_of(section), text_of(key));
	if (!settings->section_seen)
		report_line(settings, "an option before the first [section]");
	if (!settings->section_known)
		return 1; /* the section's own line was reported */
	if (option != NULL) {
		set_option(settings, option, FROM_FILE, text_of(value));
		return 1;
	}
	fprintf(settings->errors, "%s:%u: unknown option %s.", settings->path, settings->line,
		section);
	print_safely(settings->errors, text_of(key));
	putc('\n', settings->errors);
	settings->problems++;
	return 1;
}

void
settings_read_file(struct settings *settings, const char *path)
{
	settings->path = path;
	settings->line = 0;
	settings->size = 0;
	settings->section_seen = false;
	settings->section_known = false;
	settings->file = fopen(path, "re");
	if (settings->file == NULL) {
		char words[128];
		(void)snprintf(words, sizeof(words), "cannot be opened: %s", strerror(errno));
		report_name(settings, text_of(path), words);
		return;
	}
	/* libinih's own limit of 200 bytes a line cuts silently; a value with a ';' and a value
	 * that goes on in the next line are asked for by nobody. */
	ini_use_stack = false;
	ini_max_line = LINE_SIZE_MAX;
	ini_initial_alloc = LINE_SIZE_MAX;
	ini_allow_multiline = false;
	ini_allow_inline_comments = false;
	int result = ini_parse_stream(read_line, settings, take_pair, settings);
	if (ferror(settings->file))
		report_name(settings, text_of(path), "cannot be read");
	else if (result < 0)
		report_name(settings, text_of(path), "out of memory");
	else if (result > 0 && settings->problems == 0)
		report_name(settings, text_of(path), "is not an INI file");
	(void)fclose(settings->file);
	settings->file = NULL;
}

static void
read_variable(struct settings *settings, const char *variable)
{
	const char *equals = strchr(variable, '=');
	bool ours = false;
	if (equals == NULL)
		return;
	size_t size = (size_t)(equals - variable);
	for (size_t i = 0; i < settings->count; i++) {
		char name[128];
		const struct option *option = &settings->options[i];
		environment_name(settings, option, option->key, name);
		if (text_equal(text_of(name), (struct text){variable, size})) {
			set_option(settings, option, FROM_ENVIRONMENT, text_of(equals + 1));
			return;
		}
		environment_name(settings, option, "", name);
		ours = ours || strncmp(variable, name, strlen(name)) == 0;
	}
	if (ours)
		report_name(settings, (struct text){variable, size}, "unknown option");
}

void
settings_read_environment(struct settings *settings, char **environment)
{
	size_t size = strlen(settings->prefix);
	for (char **variable = environment; *variable != NULL; variable++) {
		if (strncmp(*variable, settings->prefix, size) == 0)
			read_variable(settings, *variable);
	}
}

void
settings_read_flag(struct settings *settings, const char *argument)
{
	if (strncmp(argument, "--", 2) != 0) {
		report_name(settings, text_of(argument), "unexpected argument; see --help");
		return;
	}
	const char *name = argument + 2;
	const char *equals = strchr(name, '=');
	const char *dot = strchr(name, '.');
	const struct option *option = NULL;
	if (equals != NULL && dot != NULL && dot < equals)
		option = settings_find(settings, (struct text){name, (size_t)(dot - name)},
				       (struct text){dot + 1, (size_t)(equals - dot) - 1});
	if (option != NULL)
		set_option(settings, option, FROM_FLAG, text_of(equals + 1));
	else
		report_name(settings, text_of(argument),
			    "unknown flag; options are --section.key=value, see --help");
}

const struct option *
settings_find(const struct settings *settings, struct text section, struct text key)
{
	for (size_t i = 0; i < settings->count; i++) {
		const struct option *option = &settings->options[i];
		if (text_equal(section, text_of(option->section)) &&
		    text_equal(key, text_of(option->key)))
			return option;
	}
	return NULL;
}

void
settings_report(struct settings *settings, const struct option *option, const char *format, ...)
{
	char room[OPTION_VALUE_SIZE];
	va_list arguments;
	print_setting(settings, option, text_of(option_value(option, settings->values, room)));
	putc(' ', settings->errors);
	va_start(arguments, format);
	vfprintf(settings->errors, format, arguments);
	va_end(arguments);
	putc('\n', settings->errors);
	settings->problems++;
}
