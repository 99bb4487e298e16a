/*
 * pay: what a call pays for, and what it is told about that (rate.h): RATE_LIMITED, and the headers
 * RateLimit and RateLimit-Policy on every answer of one who is limited.
 *
 * Who pays is the subject. Where nobody says who he is (auth.mode=none), it is the client's address,
 * but only one that a trusted proxy names: those who come without one, or through a proxy that is
 * not trusted, cannot be told apart, and one of them must not be refused for another. Nobody pays for
 * /v1/info, OPTIONS, or a path that is not there.
 *
 * Requests without good credentials are the client's address's, whoever names it. Good ones are
 * never refused for them: many phones may share an address with one that guesses.
 */
#ifndef API_PAY_H
#define API_PAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/batch.h"
#include "chain/settle.h"

struct call;

/* Before the body, when it is known who asks: sets call->payer. False: the request was answered. */
bool pay_request(struct call *);

/* A request that counts as a failure (auth_identify). False: it was answered. */
bool pay_failure(struct call *);

/* A batch that was read. False: the request was answered. */
bool pay_batch_before(struct call *, const struct batch *);

/* What became of it: the verdict's counts are looked at with STATUS_OK. A fault costs nothing. */
void pay_batch_after(struct call *, const struct batch *, enum status, const struct verdict *);

/* An answer's body that is ready, before it leaves; of a refusal for a limit nothing is paid, so that the
 * time that it tells stays true. */
void pay_answer(struct call *, uint64_t bytes);

/* Bytes that no answer has: of a body that is stored as it comes, of links that are looked through. */
void pay_bytes(struct call *, uint64_t bytes);

/* A piece of a stream. False: it is to be broken off, for so long. */
bool pay_piece(struct call *, uint64_t bytes, uint64_t *wait_msec);

#endif
