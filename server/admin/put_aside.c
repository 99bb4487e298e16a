#include "admin/put_aside.h"

#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "store/leftovers.h"

#define LIST_SIZE ((size_t)256 * 1024)
#define PATHS_MAX 64

struct lists {
	struct buffer all, in_the_way;
};

static void
add_path(struct buffer *list, const char *path)
{
	if (list->size > 0)
		buffer_append_text(list, TEXT(","));
	json_write_string(list, text_of(path));
}

/* One that cannot be said as it is must not be passed over. */
static void
list_path(void *cookie, const char *path, bool is_in_the_way)
{
	struct lists *lists = cookie;
	char *said = strdup(path);
	if (said == NULL) {
		lists->all.failed = true;
		return;
	}
	if (!text_is_utf8(text_of(said))) {
		for (char *byte = said; *byte != '\0'; byte++)
			*byte = (unsigned char)*byte < 0x80 ? *byte : '?';
	}
	add_path(&lists->all, said);
	if (is_in_the_way)
		add_path(&lists->in_the_way, said);
	free(said);
}

static void
append_list(struct buffer *out, const char *beginning, const struct buffer *list)
{
	buffer_append_text(out, text_of(beginning));
	if (list->size > 0)
		buffer_append(out, list->data, list->size);
	buffer_append_text(out, TEXT("]"));
	out->failed = out->failed || list->failed;
}

void
put_aside_write(struct buffer *out, struct store *store, const struct removal *removal,
		bool is_overwritten)
{
	struct lists lists;
	buffer_init(&lists.all, LIST_SIZE);
	buffer_init(&lists.in_the_way, LIST_SIZE);
	if (removal != NULL)
		leftovers_follow(store_dir(store), removal, PATHS_MAX, list_path, &lists);
	if (is_overwritten) {
		store_drop_copies(store);
		leftovers_visit(store_dir(store), PATHS_MAX, list_path, &lists);
	}
	append_list(out, ",\"leftovers\":[", &lists.all);
	append_list(out, ",\"inTheWay\":[", &lists.in_the_way);
	buffer_release(&lists.all);
	buffer_release(&lists.in_the_way);
}
