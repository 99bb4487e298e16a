#include "cli/flags.h"

#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "chain/chain.h"
#include "chain/note.h"
#include "cli/rate.h"
#include "cli/report.h"

#define BATCH_MAX 100000
#define GIVE_UP_SEC_MAX 31536000
#define SHARD_MAX 255
#define EXPIRES_SEC_MAX 3153600000U
#define OLDER_THAN_DAYS_MAX 36500

enum form {
	FORM_SWITCH, /* no value: bool */
	FORM_TEXT,   /* const char * */
	FORM_NAME,   /* a text of a grammar */
	FORM_NUMBER, /* uint64_t within bounds */
	FORM_OTHER,  /* a function of its own */
};

struct row {
	const char *name;
	enum form form;
	size_t place; /* in struct cli_options */
	bool (*is_valid)(struct text);
	uint64_t min, max;
	bool (*set)(const char *, struct cli_options *);
};

static bool
set_on_conflict(const char *value, struct cli_options *options)
{
	options->reject = strcmp(value, "reject") == 0;
	if (options->reject || strcmp(value, "rebase") == 0)
		return true;
	report_error("--on-conflict=%s: rebase or reject is needed", value);
	return false;
}

static bool
add_vkey(const char *value, struct cli_options *options)
{
	struct note_key key;

	if (options->vkey_count == CLI_VKEYS_MAX || !note_key_read(text_of(value), &key)) {
		report_error("--vkey=%s: %s", value,
			     options->vkey_count == CLI_VKEYS_MAX ? "one key too many"
								  : "not a verifying key");
		return false;
	}
	options->vkeys[options->vkey_count++] = value;
	return true;
}

static bool
set_rate(const char *value, struct cli_options *options)
{
	return rate_parse(value, &options->rate);
}

#define PLACE(member) offsetof(struct cli_options, member)
#define SWITCH(name, member)                                                                       \
	{                                                                                          \
		name, FORM_SWITCH, PLACE(member), NULL, 0, 0, NULL                                 \
	}
#define TEXT_FLAG(name, member)                                                                    \
	{                                                                                          \
		name, FORM_TEXT, PLACE(member), NULL, 0, 0, NULL                                   \
	}
#define NAME(name, member, is_valid)                                                               \
	{                                                                                          \
		name, FORM_NAME, PLACE(member), is_valid, 0, 0, NULL                               \
	}
#define NUMBER(name, member, min, max)                                                             \
	{                                                                                          \
		name, FORM_NUMBER, PLACE(member), NULL, min, max, NULL                             \
	}
#define OTHER(name, set)                                                                           \
	{                                                                                          \
		name, FORM_OTHER, 0, NULL, 0, 0, set                                               \
	}

static const struct row ROWS[FLAG_COUNT] = {
	[FLAG_QUIET] = SWITCH("quiet", quiet),
	[FLAG_JSON] = SWITCH("json", json),
	[FLAG_HELP] = SWITCH("help", help),
	[FLAG_VERSION] = SWITCH("version", version),
	[FLAG_URL] = TEXT_FLAG("url", url),
	[FLAG_LOG] = NAME("log", log, log_name_is_valid),
	[FLAG_STATE] = TEXT_FLAG("state", state),
	[FLAG_DEVICE] = NAME("device", device, device_is_valid),
	[FLAG_BATCH] = NUMBER("batch", batch, 1, BATCH_MAX),
	[FLAG_ON_CONFLICT] = OTHER("on-conflict", set_on_conflict),
	[FLAG_GIVE_UP] = NUMBER("give-up", give_up_sec, 0, GIVE_UP_SEC_MAX),
	[FLAG_RESUME] = SWITCH("resume", resume),
	[FLAG_AFTER] = NUMBER("after", after, 0, SEQ_MAX),
	[FLAG_HASH] = TEXT_FLAG("hash", hash),
	[FLAG_UNTIL] = TEXT_FLAG("until", until),
	[FLAG_FROM] = TEXT_FLAG("from", from),
	[FLAG_OUT] = TEXT_FLAG("out", out),
	[FLAG_SHARD] = NUMBER("shard", shard, 0, SHARD_MAX),
	[FLAG_DRY_RUN] = SWITCH("dry-run", dry_run),
	[FLAG_NAME] = NAME("name", name, note_name_is_valid),
	[FLAG_VKEY] = OTHER("vkey", add_vkey),
	[FLAG_DATA] = TEXT_FLAG("data", data),
	[FLAG_RECEIPT] = TEXT_FLAG("receipt", receipt),
	[FLAG_CHECK] = SWITCH("check", check),
	[FLAG_AS] = NAME("as", as, log_name_is_valid),
	[FLAG_WITH] = TEXT_FLAG("with", with),
	[FLAG_REDUCER] = TEXT_FLAG("reducer", reducer),
	[FLAG_TOKEN_FILE] = TEXT_FLAG("token-file", token_file),
	[FLAG_CA_FILE] = TEXT_FLAG("ca-file", ca_file),
	[FLAG_KEY] = TEXT_FLAG("key", key),
	[FLAG_JWKS] = TEXT_FLAG("jwks", jwks),
	[FLAG_SUBJECT] = TEXT_FLAG("sub", subject),
	[FLAG_ISSUER] = TEXT_FLAG("iss", issuer),
	[FLAG_AUDIENCE] = TEXT_FLAG("aud", audience),
	[FLAG_SCOPE] = TEXT_FLAG("scope", scope),
	[FLAG_LOGS] = TEXT_FLAG("logs", logs),
	[FLAG_LOGS_RO] = TEXT_FLAG("logs-ro", logs_ro),
	[FLAG_DIGEST] = NAME("digest", digest, state_digest_is_valid),
	[FLAG_APP] = NAME("app", app, app_is_valid),
	[FLAG_LIVE] = SWITCH("live", live),
	[FLAG_EXPIRES] = NUMBER("expires", expires_sec, 0, EXPIRES_SEC_MAX),
	[FLAG_AT] = TEXT_FLAG("at", at),
	[FLAG_BEFORE] = NUMBER("before", before, 1, SEQ_MAX),
	[FLAG_SNAPSHOT] = TEXT_FLAG("snapshot", snapshot),
	[FLAG_APP_VERSION] = TEXT_FLAG("app-version", app_version),
	[FLAG_MEDIA_TYPE] = TEXT_FLAG("media-type", media_type),
	[FLAG_ADMIN] = TEXT_FLAG("admin", admin),
	[FLAG_TO] = TEXT_FLAG("to", to),
	[FLAG_RATE] = OTHER("rate", set_rate),
	[FLAG_RECORD] = TEXT_FLAG("record", record),
	[FLAG_REPLAY] = TEXT_FLAG("replay", replay),
	[FLAG_OLDER_THAN] = NUMBER("older-than", older_than_days, 0, OLDER_THAN_DAYS_MAX),
	[FLAG_WITHOUT_SNAPSHOT] = SWITCH("without-snapshot", without_snapshot),
	[FLAG_ALL] = SWITCH("all", all),
	[FLAG_REOPEN] = SWITCH("reopen", reopen),
};

void
flags_describe(struct option options[FLAG_COUNT + 1])
{
	for (int i = 0; i < FLAG_COUNT; i++)
		options[i] = (struct option){
			.name = ROWS[i].name,
			.has_arg = ROWS[i].form == FORM_SWITCH ? no_argument : required_argument,
			.val = FLAG_VALUE + i};
	options[FLAG_COUNT] = (struct option){NULL, 0, NULL, 0};
}

const char *
flag_name(enum flag flag)
{
	return ROWS[flag].name;
}

bool
flag_set(enum flag flag, const char *value, struct cli_options *options)
{
	const struct row *row = &ROWS[flag];
	void *place = (char *)options + row->place;

	options->given |= BIT(flag);
	switch (row->form) {
	case FORM_SWITCH:
		*(bool *)place = true;
		return true;
	case FORM_TEXT:
		*(const char **)place = value;
		return true;
	case FORM_NAME:
		*(const char **)place = value;
		if (row->is_valid(text_of(value)))
			return true;
		report_error("--%s=%s: not a valid name", row->name, value);
		return false;
	case FORM_NUMBER:
		if (text_to_u64(text_of(value), row->max, place) && *(uint64_t *)place >= row->min)
			return true;
		report_error("--%s=%s: an integer from %llu to %llu is needed", row->name, value,
			     (unsigned long long)row->min, (unsigned long long)row->max);
		return false;
	case FORM_OTHER:
		return row->set(value, options);
	}
	return false;
}
