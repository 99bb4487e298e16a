#include "admin/backups.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "admin/inside.h"
#include "api/json.h"
#include "api/media.h"
#include "base/clock.h"
#include "store/store.h"

#define SHARD "shard="
#define PATH_SIZE_MAX 4096

struct order {
	struct text to;
	uint64_t rate;
};

/* So that who names a directory, too, sees whether it is this one. */
static void
write_directory(const struct admin *admin, struct buffer *out)
{
	char *data = realpath(store_dir(admin->store), NULL);
	if (data != NULL && text_is_utf8(text_of(data))) {
		buffer_append_text(out, TEXT(",\"directory\":"));
		json_write_string(out, text_of(data));
	}
	free(data);
}

static void
write_state(struct admin *admin, unsigned shard, struct buffer *out)
{
	static const char *const words[] = {[BACKUP_NONE] = "none",
					    [BACKUP_RUNNING] = "running",
					    [BACKUP_DONE] = "done",
					    [BACKUP_FAILED] = "failed"};
	struct backup_figures figures;
	store_look_at_backup(admin->store, shard, &figures);
	if (figures.state == BACKUP_DONE &&
	    atomic_exchange(&admin->backups[shard].is_under_way, false))
		atomic_store(&admin->backups[shard].done_msec, clock_server_msec());
	buffer_printf(out, "{\"shard\":%u,\"shards\":%u,\"state\":\"%s\"", shard,
		      store_shards(admin->store), words[figures.state]);
	write_directory(admin, out);
	buffer_printf(out, ",\"bytes\":%ju,\"bytesTotal\":%ju,\"commits\":%ju",
		      (uintmax_t)figures.bytes, (uintmax_t)figures.bytes_total,
		      (uintmax_t)figures.commits);
	if (figures.state == BACKUP_FAILED) {
		const struct text problem = text_of(figures.problem);
		buffer_append_text(out, TEXT(",\"problem\":"));
		json_write_string(out, text_is_utf8(problem) ? problem : TEXT("failed"));
		buffer_append_text(out, figures.again ? TEXT(",\"again\":true")
						      : TEXT(",\"again\":false"));
	}
	buffer_append_text(out, TEXT("}\n"));
}

/* NULL, or what is wrong with the body. */
static const char *
read_order(struct json *json, struct order *order)
{
	bool first = true;
	struct text name;
	*order = (struct order){.to = TEXT("")};
	if (!json_enter(json, JSON_KIND_OBJECT))
		return json->fault;
	while (json_member(json, &first, &name)) {
		if (text_equal(name, TEXT("to")))
			(void)json_read_string(json, &order->to);
		else if (text_equal(name, TEXT("rate")))
			(void)json_read_u64(json, INT64_MAX, &order->rate);
		else
			return "The members are to and rate.";
	}
	if (!json_end(json))
		return json->fault;
	if (order->to.size == 0 || order->to.size >= PATH_SIZE_MAX || order->to.data[0] != '/' ||
	    memchr(order->to.data, '\0', order->to.size) != NULL)
		return "to must be an absolute path.";
	return NULL;
}

/* Whether a new file would be among those that the daemon keeps. */
static bool
is_in_data(const struct admin *admin, const char *path)
{
	char *folder = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
	char *real = folder == NULL ? NULL : realpath(folder, NULL);
	char *data = realpath(store_dir(admin->store), NULL);
	const size_t size = data == NULL ? 0 : strlen(data);
	const bool is_in = real != NULL && data != NULL && strncmp(real, data, size) == 0 &&
			   (real[size] == '\0' || real[size] == '/');
	free(folder);
	free(real);
	free(data);
	return is_in;
}

static enum status
begin(struct admin *admin, struct request *request, unsigned shard, const char **detail)
{
	size_t size;
	struct json json;
	struct order order;
	char path[PATH_SIZE_MAX];
	if (!media_is_json(request_content_type(request)))
		return STATUS_UNSUPPORTED_MEDIA_TYPE;
	char *body = request_body(request, &size);
	json_begin(&json, body, size);
	*detail = read_order(&json, &order);
	if (*detail != NULL)
		return STATUS_MALFORMED;
	memcpy(path, order.to.data, order.to.size);
	path[order.to.size] = '\0';
	if (is_in_data(admin, path)) {
		*detail = "to is in the data directory.";
		return STATUS_MALFORMED;
	}
	const struct backup_order wanted = {.path = path, .rate = order.rate};
	const enum status status = store_back_up(admin->store, shard, &wanted);
	if (status == STATUS_BACKPRESSURE)
		*detail = "A backup of this shard is being made.";
	else if (status != STATUS_OK)
		*detail = "The shard does not serve: see /readyz.";
	else
		atomic_store(&admin->backups[shard].is_under_way, true);
	return status;
}

enum status
backups_serve(struct admin *admin, struct request *request, struct buffer *out, const char **detail)
{
	static const size_t prefix = sizeof(SHARD) - 1;
	const struct text query = request_query(request);
	const struct text method = request_method(request);
	enum status status = STATUS_OK;
	uint64_t shard = 0;
	if (query.size <= prefix || memcmp(query.data, SHARD, prefix) != 0 ||
	    !text_to_u64((struct text){query.data + prefix, query.size - prefix},
			 store_shards(admin->store) - 1, &shard)) {
		*detail = "The query must be shard= and the number of one.";
		return STATUS_MALFORMED;
	}
	if (text_equal(method, TEXT("POST")))
		status = begin(admin, request, (unsigned)shard, detail);
	else if (text_equal(method, TEXT("DELETE")))
		store_end_backup(admin->store, (unsigned)shard);
	if (status == STATUS_OK)
		write_state(admin, (unsigned)shard, out);
	return status;
}
