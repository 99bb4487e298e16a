/*
 * status: every outcome that a function can return and a client can see, in one table.
 *
 * Three kinds, never mixed: a refusal is the client's (answered and counted), a fault is the
 * world's (returned, logged once where it happened), a bug is ours (CHECK, abort).
 *
 * The order of the table is the order in which checks answer (protocol, section 5): where several
 * fail, the one with the smallest number is the answer.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

/* enumerator, HTTP status, code, advice to the client, title */
#define STATUS_TABLE(X)                                                                            \
	X(STATUS_OK, 200, "OK", RETRY_NEVER, "Success")                                            \
	X(STATUS_SHUTTING_DOWN, 503, "SHUTTING_DOWN", RETRY_AFTER, "The server is stopping")       \
	X(STATUS_HEADERS_TOO_LARGE, 431, "HEADERS_TOO_LARGE", RETRY_NEVER,                         \
	  "The request's headers are too large")                                                   \
	X(STATUS_TIMEOUT, 408, "TIMEOUT", RETRY_AFTER, "The request did not arrive in time")       \
	X(STATUS_NOT_FOUND, 404, "NOT_FOUND", RETRY_NEVER, "There is nothing at this path")        \
	X(STATUS_METHOD_NOT_ALLOWED, 405, "METHOD_NOT_ALLOWED", RETRY_NEVER,                       \
	  "This path does not take this method")                                                   \
	X(STATUS_RATE_LIMITED, 429, "RATE_LIMITED", RETRY_AFTER, "This is asked for too often")    \
	X(STATUS_UNAUTHENTICATED, 401, "UNAUTHENTICATED", RETRY_AUTH,                              \
	  "The request does not say credibly who asks")                                            \
	X(STATUS_FORBIDDEN, 403, "FORBIDDEN", RETRY_NEVER, "This log is not open to who asks")     \
	X(STATUS_NOT_ACCEPTABLE, 406, "NOT_ACCEPTABLE", RETRY_NEVER,                               \
	  "None of the accepted media types can be answered")                                      \
	X(STATUS_UNSUPPORTED_MEDIA_TYPE, 415, "UNSUPPORTED_MEDIA_TYPE", RETRY_NEVER,               \
	  "The body's media type or coding is not supported")                                      \
	X(STATUS_BODY_TOO_LARGE, 413, "BODY_TOO_LARGE", RETRY_SPLIT, "The body is too large")      \
	X(STATUS_MALFORMED, 400, "MALFORMED", RETRY_NEVER, "The request is malformed")             \
	X(STATUS_BATCH_TOO_LARGE, 413, "BATCH_TOO_LARGE", RETRY_SPLIT, "The batch is too large")   \
	X(STATUS_PAYLOAD_TOO_LARGE, 413, "PAYLOAD_TOO_LARGE", RETRY_NEVER,                         \
	  "An action's payload is too large")                                                      \
	X(STATUS_CHAIN_BROKEN, 422, "CHAIN_BROKEN", RETRY_NEVER,                                   \
	  "The batch does not chain to the state hash it claims")                                  \
	X(STATUS_BACKPRESSURE, 429, "BACKPRESSURE", RETRY_AFTER, "The server is busy")             \
	X(STATUS_ERASED, 410, "ERASED", RETRY_NEVER, "The log has been erased")                    \
	X(STATUS_PRUNED, 410, "PRUNED", RETRY_SNAPSHOT, "What is asked for has been pruned")       \
	X(STATUS_LOG_DAMAGED, 503, "LOG_DAMAGED", RETRY_AFTER, "The log is damaged on the server") \
	X(STATUS_INDEX_DAMAGED, 503, "STORAGE_UNAVAILABLE", RETRY_AFTER,                           \
	  "Whether the server has it cannot be told: an index is damaged")                         \
	X(STATUS_UNKNOWN_STATE, 404, "UNKNOWN_STATE", RETRY_NEVER, "The log has no such state")    \
	X(STATUS_NO_SNAPSHOT, 404, "NO_SNAPSHOT", RETRY_NEVER, "The log has no such snapshot")     \
	X(STATUS_SERVER_BEHIND, 409, "SERVER_BEHIND", RETRY_REBASE,                                \
	  "The position is beyond the server's head")                                              \
	X(STATUS_HASH_MISMATCH, 409, "HASH_MISMATCH", RETRY_REBASE,                                \
	  "The log has another history at the base")                                               \
	X(STATUS_CONFLICT, 409, "CONFLICT", RETRY_REBASE, "Others wrote since the base")           \
	X(STATUS_TIMESTAMP_TAKEN, 422, "TIMESTAMP_TAKEN", RETRY_RESTAMP,                           \
	  "The device has another action with this timestamp")                                     \
	X(STATUS_CLOCK_SKEW, 422, "CLOCK_SKEW", RETRY_RESTAMP,                                     \
	  "The timestamp is too far ahead of the server's clock")                                  \
	X(STATUS_NON_MONOTONIC_TIMESTAMP, 422, "NON_MONOTONIC_TIMESTAMP", RETRY_RESTAMP,           \
	  "The timestamp is not after the device's newest")                                        \
	X(STATUS_QUOTA_EXCEEDED, 403, "QUOTA_EXCEEDED", RETRY_NEVER,                               \
	  "There is no room for this in the quota")                                                \
	X(STATUS_INTERNAL, 500, "INTERNAL", RETRY_AFTER, "The server failed")                      \
	X(STATUS_STORAGE_UNAVAILABLE, 503, "STORAGE_UNAVAILABLE", RETRY_AFTER,                     \
	  "The server cannot store now")

enum retry {
	RETRY_NEVER,
	RETRY_AFTER,
	RETRY_AUTH,
	RETRY_SPLIT,
	RETRY_REBASE,
	RETRY_RESTAMP,
	RETRY_SNAPSHOT
};

#define STATUS_ENUMERATOR(name, http, code, retry, title) name,
enum status { STATUS_TABLE(STATUS_ENUMERATOR) STATUS_COUNT };
#undef STATUS_ENUMERATOR

struct status_info {
	const char *code;
	const char *title;
	unsigned http;
	enum retry retry;
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* The row of the table. Never NULL; the strings are constants. */
const struct status_info *status_info(enum status);

/* The protocol's word for an advice: "never", "after", … */
const char *retry_word(enum retry);

#endif
