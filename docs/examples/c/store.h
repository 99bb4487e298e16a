/*
 * store: the phone's copy of a log (section 7, "Keeps"): what the server has confirmed, what it has
 * not got yet, in order, and what the app must look at. In SQLite.
 *
 * Each change is one transaction, on the disk when its function returns: whenever the process dies,
 * the file is in a state that it was in. What goes wrong with the file ends the process.
 *
 * A row of the queue is an action with two more members: place, and again (it was confirmed once).
 */
#ifndef EXAMPLE_STORE_H
#define EXAMPLE_STORE_H

#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "chain.h"

#define NAME_SIZE 129

struct store {
	sqlite3 *db;
	char log[NAME_SIZE], device[NAME_SIZE];
	int64_t offset_msec; /* the server's clock, less ours */
};

/* One process at a time: the file is locked. */
void store_open(struct store *, const char *path, const char *log);
void store_close(struct store *);

/* Milliseconds of the wall clock. */
int64_t now_msec(void);

int64_t store_base(struct store *);

/* Our own link at a seq; false: we have none. */
bool store_link(struct store *, int64_t seq, uint8_t link[HASH_SIZE]);
bool store_has(struct store *, const json_t *position);

/* The queue's first rows, a new array. */
json_t *store_queue(struct store *, int count);

/* The same, but not more than 256 KiB of payloads, whatever they become in JSON, and one at least: a body that is far too
 * large may get no answer. */
json_t *store_batch(struct store *, int count);

/* Stamps an action of the user's and puts it into the queue; the action. */
json_t *store_act(struct store *, const char *type, const char *payload);

/* Appends what comes after the base, if it leads to this hash, and takes it from the queue; else
 * false: no hash is adopted that was not computed here. */
bool store_confirm(struct store *, const json_t *actions, int64_t seq, const char *state_hash);

/* What is after seq goes to the front of the queue, in its order. */
void store_roll_back(struct store *, int64_t seq);

void store_drop(struct store *, const json_t *row);
void store_set_aside(struct store *, const json_t *row, const char *why);
void store_stamp(struct store *, const json_t *row, int64_t ts);

/* New stamps for it and for what is behind it, in order, but for what was confirmed once. */
void store_restamp_from(struct store *, const json_t *row, int64_t after);

void store_set_offset(struct store *, int64_t offset_msec);

/* All of it, as the command show prints it; a new object. */
json_t *store_show(struct store *);

#endif
