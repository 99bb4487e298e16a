#include "auth/token.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

bool
base64url_decode(struct text text, uint8_t *bytes, size_t size_max, size_t *size)
{
	return sodium_base642bin(bytes, size_max, text.data, text.size, NULL, size, NULL,
				 sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
}

struct text
json_text_of(const json_t *value)
{
	return json_is_string(value)
		       ? (struct text){json_string_value(value), json_string_length(value)}
		       : (struct text){NULL, 0};
}

/* The parts between exactly two dots. */
static bool
cut_parts(struct text text, struct text parts[3])
{
	for (int i = 0; i < 2; i++) {
		const char *dot = text.size > 0 ? memchr(text.data, '.', text.size) : NULL;
		if (!dot)
			return false;
		parts[i] = (struct text){text.data, (size_t)(dot - text.data)};
		text.data = dot + 1;
		text.size -= parts[i].size + 1;
	}
	parts[2] = text;
	return memchr(text.data, '.', text.size) == NULL;
}

/* An object, or NULL. */
static json_t *
read_object(struct text part)
{
	size_t size = 0;
	uint8_t *bytes = malloc(part.size + 1);
	json_t *object = NULL;
	if (bytes && base64url_decode(part, bytes, part.size, &size))
		object = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, NULL);
	free(bytes);
	if (json_is_object(object))
		return object;
	json_decref(object);
	return NULL;
}

/* An optional string; false: it is there, but no string. */
static bool
take_text(const json_t *object, const char *name, struct text *text)
{
	const json_t *value = json_object_get(object, name);
	*text = json_text_of(value);
	return !value || text->data;
}

static const char *
read_header(struct token *token, struct text part)
{
	token->header = read_object(part);
	if (!token->header)
		return "its header is not base64url of a JSON object";
	struct text name = json_text_of(json_object_get(token->header, "alg"));
	if (!name.data)
		return "its header has no alg";
	token->algorithm = algorithm_find(name);
	if (!token->algorithm)
		return "its alg is not known";
	if (json_object_get(token->header, "crit"))
		return "its header has crit";
	if (!take_text(token->header, "kid", &token->key_id) ||
	    !take_text(token->header, "typ", &token->type))
		return "its kid or typ is no string";
	return NULL;
}

const char *
token_read(struct token *token, struct text text)
{
	struct text parts[3];
	token->header = NULL;
	token->claims = NULL;
	if (!cut_parts(text, parts))
		return "it has not three parts";
	const char *problem = read_header(token, parts[0]);
	if (problem)
		return problem;
	if (!base64url_decode(parts[2], token->signature, sizeof(token->signature),
			      &token->signature_size))
		return "its signature is not base64url, or too long";
	token->claims = read_object(parts[1]);
	if (!token->claims)
		return "its claims are not base64url of a JSON object";
	token->signed_part = (struct text){text.data, parts[0].size + 1 + parts[1].size};
	return NULL;
}

void
token_release(struct token *token)
{
	json_decref(token->header);
	json_decref(token->claims);
}
