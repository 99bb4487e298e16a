#include "api/receipts.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "api/json.h"
#include "base/problem.h"
#include "base/secret_file.h"

static_assert(RECEIPT_SIGNERS_MAX == 4, "a sentence says so");

struct reading {
	const char *path;
	struct text name; /* that each key must have */
	struct receipt_signers signers;
	unsigned line;
	const char **problem;
};

static bool
fail(struct reading *reading, const char *why)
{
	*reading->problem = problem_format("%s:%u: %s", reading->path, reading->line, why);
	return false;
}

static bool
is_known(const struct receipt_signers *signers, const struct note_key *key)
{
	for (size_t i = 0; i < signers->count; i++) {
		if (memcmp(signers->signers[i].key.public_key, key->public_key,
			   sizeof(key->public_key)) == 0)
			return true;
	}
	return false;
}

static bool
read_line(struct reading *reading, struct text line)
{
	struct receipt_signers *signers = &reading->signers;
	struct note_signer *signer = &signers->signers[signers->count];
	line = text_trim(line);
	if (line.size == 0 || line.data[0] == '#')
		return true;
	if (signers->count == RECEIPT_SIGNERS_MAX)
		return fail(reading, "there are more keys than 4");
	if (!note_signer_read(line, signer))
		return fail(reading, "is no signing key: edgereplay keygen makes one");
	if (is_known(signers, &signer->key))
		return fail(reading, "the same key a second time");
	if (reading->name.size == 0)
		reading->name = note_key_name(&signer->key);
	if (!text_equal(note_key_name(&signer->key), reading->name))
		return fail(reading, "the key has another name than receipts.name, or than the key "
				     "before it: phones would not take its receipts");
	signers->count++;
	return true;
}

static bool
read_lines(struct reading *reading, struct text rest)
{
	while (rest.size > 0) {
		const char *end = memchr(rest.data, '\n', rest.size);
		const size_t size = end == NULL ? rest.size : (size_t)(end - rest.data);
		reading->line++;
		if (!read_line(reading, (struct text){rest.data, size}))
			return false;
		if (end == NULL)
			break;
		rest = (struct text){end + 1, rest.size - size - 1};
	}
	return reading->signers.count > 0 || fail(reading, "the file has no key");
}

bool
receipts_load(const char *path, const char *name, struct receipt_signers *signers,
	      const char **problem)
{
	struct reading reading = {.path = path, .name = text_of(name), .problem = problem};
	struct buffer file;
	bool loaded = true;
	if (path[0] != '\0') {
		/* Its pages would grow by copying, and leave keys behind. */
		buffer_init(&file, 2 * SECRET_FILE_SIZE_MAX);
		loaded = buffer_reserve(&file, 2 * SECRET_FILE_SIZE_MAX) != NULL
				 ? secret_file_read(path, &file, problem) &&
					   read_lines(&reading, (struct text){file.data, file.size})
				 : fail(&reading, "out of memory");
		if (file.data != NULL)
			sodium_memzero(file.data, file.size);
		buffer_release(&file);
	}
	if (loaded)
		*signers = reading.signers;
	sodium_memzero(&reading.signers, sizeof(reading.signers));
	return loaded;
}

static void
write_note(struct buffer *out, struct text name, const struct receipt *receipt,
	   const struct receipt_signers *signers)
{
	struct buffer note;
	buffer_init(&note, RECEIPT_SIZE_MAX);
	receipt_write(receipt, signers, &note);
	buffer_append_text(out, name);
	json_write_string(out, (struct text){note.data, note.size});
	out->failed = out->failed || note.failed;
	buffer_release(&note);
}

void
receipts_write(struct buffer *out, const struct receipt *receipt,
	       const struct receipt_signers *signers)
{
	write_note(out, TEXT(",\"receipt\":"), receipt, signers);
}

void
receipts_write_tombstone(struct buffer *out, const struct receipt *tombstone,
			 const struct receipt_signers *signers)
{
	write_note(out, TEXT("\"tombstone\":"), tombstone, signers);
}
