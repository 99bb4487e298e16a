-- One shard of the store: version 1. The meaning of every column is in README.md beside this file.
PRAGMA application_id = 1163030577; -- "ERp1"
PRAGMA user_version = 1;

-- Every generation of the journal's files up to this one is in place, or kept in the table journal; last_id is their last
-- record's, commits a count of the transactions. The first table: its page goes first from the WAL into the file.
CREATE TABLE in_place (
	generation INTEGER NOT NULL,
	last_id INTEGER NOT NULL,
	commits INTEGER NOT NULL
) STRICT;
INSERT INTO in_place VALUES (0, 0, 0);

CREATE TABLE shard (
	row INTEGER PRIMARY KEY CHECK (row = 1),
	number INTEGER NOT NULL,
	shards INTEGER NOT NULL,
	id BLOB NOT NULL CHECK (length(id) = 16)
) STRICT;

CREATE TABLE logs (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	seq INTEGER NOT NULL,
	link BLOB NOT NULL,
	received_at INTEGER NOT NULL,
	bytes INTEGER NOT NULL
) STRICT;

-- Of which logs content is gone. A log that is not here has all of it, but for single redacted actions.
CREATE TABLE gone (
	log INTEGER NOT NULL PRIMARY KEY,
	pruned INTEGER NOT NULL,
	erased_at INTEGER NOT NULL,
	sum BLOB NOT NULL,
	cleared INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- link stands before type and payload so that reading it never follows a long payload's overflow pages.
CREATE TABLE actions (
	log INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	device TEXT NOT NULL,
	ts INTEGER NOT NULL,
	link BLOB NOT NULL,
	type TEXT NOT NULL,
	payload TEXT NOT NULL,
	PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX actions_stamp ON actions (log, device, ts);

CREATE TABLE batches (
	log INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	last INTEGER NOT NULL,
	received_at INTEGER NOT NULL,
	writer TEXT NOT NULL,
	PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;

-- Who began which log.
CREATE INDEX batches_first ON batches (writer) WHERE seq = 1;
-- Advice, and no user's data: what may be lost, dropped or left out of a copy.
CREATE TABLE states (
	log INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	device TEXT NOT NULL,
	link BLOB NOT NULL,
	digest TEXT NOT NULL,
	app TEXT NOT NULL,
	writer TEXT NOT NULL,
	PRIMARY KEY (log, seq, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal (
	id INTEGER PRIMARY KEY,
	record BLOB NOT NULL
) STRICT;
