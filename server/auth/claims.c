#include "auth/claims.h"

#include <math.h>
#include <string.h>

#include "chain/chain.h"

#define SECONDS_MAX 253402300799.0 /* the end of the year 9999 */

const char claims_expired[] = "it has expired";

/* A NumericDate: a number, perhaps with a fraction. False: it is there, and none. */
static bool
read_seconds(const json_t *claims, const char *name, bool *there, double *seconds)
{
	const json_t *value = json_object_get(claims, name);
	*there = value != NULL;
	if (!value)
		return true;
	*seconds = json_number_value(value);
	return json_is_number(value) && *seconds >= 0 && *seconds <= SECONDS_MAX;
}

static const char *
check_times(const struct claim_rules *rules, const json_t *claims, uint64_t now_sec,
	    uint64_t *expires_sec)
{
	bool has_expiry, has_start, has_issue;
	double expiry = 0, start = 0, issue = 0;
	const double now = (double)now_sec, leeway = (double)rules->leeway_sec;
	if (!read_seconds(claims, "exp", &has_expiry, &expiry) ||
	    !read_seconds(claims, "nbf", &has_start, &start) ||
	    !read_seconds(claims, "iat", &has_issue, &issue))
		return "its exp, nbf or iat is no time";
	if (!has_expiry)
		return "it has no exp";
	if (has_start && now + leeway < start)
		return "it is not yet valid (nbf)";
	*expires_sec = (uint64_t)ceil(expiry + leeway);
	return NULL;
}

/* A string, or an array of strings, that is or has the text. False in *well_typed: neither. */
static bool
names(const json_t *value, struct text wanted, bool *well_typed)
{
	size_t i;
	json_t *item;
	bool found = false;
	*well_typed = json_is_string(value) || json_is_array(value);
	if (json_is_string(value))
		return text_equal(json_text_of(value), wanted);
	json_array_foreach(value, i, item)
	{
		*well_typed = *well_typed && json_is_string(item);
		found = found || text_equal(json_text_of(item), wanted);
	}
	return found && *well_typed;
}

/* "application/" before a type without another slash may be left out (RFC 7515, section 4.1.9). */
static bool
is_type(struct text type, const char *wanted)
{
	static const char prefix[] = "application/";
	const size_t size = sizeof(prefix) - 1;
	if (type.size > size && strncasecmp(type.data, prefix, size) == 0)
		type = (struct text){type.data + size, type.size - size};
	if (strncasecmp(wanted, prefix, size) == 0)
		wanted += size;
	return type.size == strlen(wanted) && strncasecmp(type.data, wanted, type.size) == 0;
}

static const char *
check_parties(const struct claim_rules *rules, const struct token *token)
{
	bool well_typed;
	if (rules->type[0] && (!token->type.data || !is_type(token->type, rules->type)))
		return "its typ is another";
	if (rules->issuer[0] && !text_equal(json_text_of(json_object_get(token->claims, "iss")),
					    text_of(rules->issuer)))
		return "its iss is another";
	if (rules->audience[0] &&
	    !names(json_object_get(token->claims, "aud"), text_of(rules->audience), &well_typed))
		return "its aud is another";
	return NULL;
}

/* --- what is theirs --- */

static bool
read_grant(const json_t *item, enum access access, struct grant *grant)
{
	struct text name = json_text_of(item);
	if (!name.data || name.size == 0)
		return false;
	grant->access = access;
	grant->prefix = name.data[name.size - 1] == '*';
	grant->name = name;
	if (!grant->prefix)
		return log_name_is_valid(name);
	grant->name.size--;
	/* A prefix may be of dots only, though no name is, and empty: all logs. */
	char whole[LOG_NAME_SIZE_MAX];
	if (grant->name.size >= sizeof(whole))
		return false;
	memcpy(whole, grant->name.data, grant->name.size);
	whole[grant->name.size] = 'a';
	return log_name_is_valid((struct text){whole, grant->name.size + 1});
}

static const char *
read_grants(const json_t *array, enum access access, struct grant *grants, size_t *count)
{
	size_t i;
	json_t *item;
	if (array && !json_is_array(array))
		return "its claim of logs is no array";
	json_array_foreach(array, i, item)
	{
		if (!read_grant(item, access, &grants[(*count)++]))
			return "its claim of logs has what is neither a log's name nor a prefix "
			       "and *";
	}
	return NULL;
}

static const json_t *
claim(const struct token *token, const char *name)
{
	return name[0] ? json_object_get(token->claims, name) : NULL;
}

static const char *
read_all_grants(const struct claim_rules *rules, const struct token *token, struct arena *arena,
		struct identity_facts *facts)
{
	const json_t *logs = claim(token, rules->logs_claim);
	const json_t *logs_ro = claim(token, rules->logs_ro_claim);
	const size_t count = json_array_size(logs) + json_array_size(logs_ro);
	struct grant *grants = arena_calloc(arena, count + 1, sizeof(*grants));
	if (!grants)
		return "memory is out";
	const char *problem = read_grants(logs, ACCESS_WRITE, grants, &facts->grant_count);
	if (!problem)
		problem = read_grants(logs_ro, ACCESS_READ, grants, &facts->grant_count);
	facts->grants = grants;
	return problem;
}

/* `scope` as in RFC 8693, or an array of words, as some issuers have it. */
static const char *
read_scope(const struct claim_rules *rules, const struct token *token, struct identity_facts *facts)
{
	const json_t *scope = json_object_get(token->claims, "scope");
	bool well_typed = true;
	if (!rules->all_scope[0] || !scope)
		return NULL;
	if (json_is_string(scope)) {
		struct text rest = json_text_of(scope);
		while (rest.size > 0 && !facts->all_logs)
			facts->all_logs =
				text_equal(text_cut(&rest, ' '), text_of(rules->all_scope));
		return NULL;
	}
	facts->all_logs = names(scope, text_of(rules->all_scope), &well_typed);
	return well_typed ? NULL : "its scope is neither a string nor an array of them";
}

static const char *
read_device(const struct claim_rules *rules, const struct token *token,
	    struct identity_facts *facts)
{
	const json_t *device = claim(token, rules->device_claim);
	facts->device = json_text_of(device);
	if (device && (!facts->device.data || !device_is_valid(facts->device)))
		return "its claim of a device is no device's name";
	return NULL;
}

const char *
claims_read(const struct claim_rules *rules, const struct token *token, uint64_t now_sec,
	    struct arena *arena, struct identity_facts *facts)
{
	*facts = (struct identity_facts){
		.subject = json_text_of(json_object_get(token->claims, "sub"))};
	const char *problem = check_times(rules, token->claims, now_sec, &facts->expires_sec);
	if (!problem)
		problem = check_parties(rules, token);
	if (!problem && facts->subject.size == 0)
		problem = "it has no sub";
	if (!problem)
		problem = read_all_grants(rules, token, arena, facts);
	if (!problem)
		problem = read_scope(rules, token, facts);
	if (!problem)
		problem = read_device(rules, token, facts);
	if (!problem && now_sec >= facts->expires_sec)
		problem = claims_expired;
	return problem;
}
