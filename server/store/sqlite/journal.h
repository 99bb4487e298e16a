/*
 * journal: the bytes of one journal record: a batch as it was acknowledged. Pure.
 *
 *      0  u8   version, 1
 *      1  16   checksum: BLAKE2b-16 of the version, of byte 17 up to the first action, and of the last link
 *     17  u16  |log| ‖ log
 *         u64  seq of the first action
 *         32   link before it
 *         u64  received at, milliseconds
 *         u16  |writer| ‖ writer
 *         u8   devices, each: u8 |device| ‖ device
 *         u32  actions, each: u8 device ‖ u64 ts ‖ u16 |type| ‖ type ‖ u32 |payload| ‖ payload
 *         32   link after the last one
 *
 * Integers are big-endian. The links between are not kept: they are chained again from the first. So
 * the last one vouches for the actions, and the checksum for what the chain does not cover.
 */
#ifndef STORE_SQLITE_JOURNAL_H
#define STORE_SQLITE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/chain.h"
#include "store/engine.h"

#define JOURNAL_CHECKSUM_AT 1
#define JOURNAL_CHECKSUM_SIZE 16

/* A record's head. Texts point into the record. */
struct record {
	const uint8_t *bytes;
	size_t size;
	struct text log;
	uint64_t first_seq;
	struct hash before;
	uint64_t received_at;
	struct text writer;
	struct text devices[BATCH_DEVICES_MAX];
	size_t device_count;
	size_t action_count;
	size_t actions_at; /* where the first action begins */
	struct hash last;  /* the link after the last one */
};

/* Bytes that the applied actions of this append take; 0 when that is more than a record can be. */
size_t journal_size(const struct append *);

/* Writes exactly journal_size() bytes. */
void journal_encode(const struct append *, uint8_t *bytes, size_t size);

/* Reads the head, checking bounds and names but not the checksum: what to believe of a rotten
 * record is the caller's affair. */
MUST_CHECK bool journal_peek(const uint8_t *bytes, size_t size, struct record *);

/* Reads the action at an offset of a record that was encoded here or has been decoded; returns the
 * offset of the next. device is the index into the devices. */
size_t journal_action(const uint8_t *bytes, size_t offset, struct action *, size_t *device);

/* Reads the head and verifies everything: checksum, bounds of every field, grammar, and that the
 * actions chain from `before` to the last link. */
MUST_CHECK bool journal_decode(const uint8_t *bytes, size_t size, struct record *);

#endif
