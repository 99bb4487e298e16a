/* The body of a sync. What is let in is within the limits, and can be verified. */
#include <stdlib.h>
#include <string.h>

#include "api/wire.h"
#include "base/check.h"
#include "fuzz/fuzzer.h"

#define ACTIONS_MAX 20
#define PAYLOAD_MAX 200

static void
check_batch(struct batch *batch)
{
	struct hash actual;
	CHECK(batch->action_count <= ACTIONS_MAX && batch->device_count <= BATCH_DEVICES_MAX &&
	      batch->locator_count <= LOCATOR_PAIRS_MAX);
	for (size_t i = 0; i < batch->action_count; i++) {
		CHECK(batch->actions[i].action.payload.size <= PAYLOAD_MAX);
		CHECK(text_is_utf8(batch->actions[i].action.payload));
		CHECK(batch->actions[i].device < batch->device_count);
	}
	(void)!batch_verify(batch, &actual);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct wire_limits limits = {.payload_bytes = PAYLOAD_MAX,
					   .batch_actions = ACTIONS_MAX};
	struct arena arena;
	struct batch batch;
	struct wire_fault fault;
	/* A NUL behind it, as the http room has it. */
	char *body = malloc(size + 1);
	if (body == NULL)
		return 0;
	memcpy(body, data, size);
	body[size] = '\0';
	arena_init(&arena, wire_arena_bytes(&limits));
	const enum status status =
		wire_read_sync(body, size, TEXT("user-1"), &limits, &arena, &batch, &fault);
	CHECK(status != STATUS_INTERNAL);
	if (status == STATUS_OK)
		check_batch(&batch);
	else
		CHECK(fault.status == status && fault.detail[0] != '\0');
	arena_release(&arena);
	free(body);
	return 0;
}
