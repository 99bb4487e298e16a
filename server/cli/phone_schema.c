#include "cli/phone_schema.h"

#define STRINGIFY(value) #value
#define NUMBER(macro) STRINGIFY(macro)

const char phone_schema[] =
	"BEGIN;"
	"CREATE TABLE phone (id INTEGER PRIMARY KEY CHECK (id = 1), device TEXT NOT NULL,"
	" log TEXT NOT NULL, base_seq INTEGER NOT NULL, base_link BLOB NOT NULL,"
	" clock_offset INTEGER NOT NULL, start_seq INTEGER NOT NULL, start_link BLOB NOT NULL)"
	" STRICT;"
	"CREATE TABLE confirmed (seq INTEGER PRIMARY KEY, device TEXT NOT NULL,"
	" ts INTEGER NOT NULL, type TEXT, payload BLOB, digest BLOB NOT NULL,"
	" link BLOB NOT NULL) STRICT;"
	"CREATE INDEX confirmed_stamp ON confirmed (device, ts);"
	"CREATE TABLE queue (place INTEGER PRIMARY KEY, device TEXT NOT NULL, ts INTEGER NOT NULL,"
	" type TEXT NOT NULL, payload BLOB NOT NULL, digest BLOB NOT NULL,"
	" confirmed_once INTEGER NOT NULL) STRICT;"
	"CREATE INDEX queue_stamp ON queue (device, ts);"
	"CREATE TABLE set_aside (id INTEGER PRIMARY KEY, device TEXT NOT NULL, ts INTEGER NOT NULL,"
	" type TEXT, payload BLOB, digest BLOB NOT NULL, confirmed_once INTEGER NOT NULL,"
	" reason TEXT NOT NULL) STRICT;"
	"CREATE TABLE inputs (name TEXT PRIMARY KEY, lines INTEGER NOT NULL) STRICT;"
	"PRAGMA application_id = " NUMBER(
		PHONE_APPLICATION_ID) ";"
				      "PRAGMA user_version = " NUMBER(
					      PHONE_SCHEMA_VERSION) ";"
								    "COMMIT;";

const char *const phone_sql[STATEMENT_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_PHONE_WRITE] = "INSERT INTO phone VALUES (1, ?1, ?2, 0, ?3, 0, 0, ?3)",
	[SQL_PHONE_READ] = "SELECT device, log, base_seq, base_link, clock_offset, start_seq,"
			   " start_link FROM phone",
	[SQL_SET_BASE] = "UPDATE phone SET base_seq = ?1, base_link = ?2",
	[SQL_SET_START] = "UPDATE phone SET start_seq = ?1, start_link = ?2",
	[SQL_SET_OFFSET] = "UPDATE phone SET clock_offset = ?1",
	[SQL_COUNTS] = "SELECT (SELECT count(*) FROM confirmed), (SELECT count(*) FROM queue),"
		       " (SELECT count(*) FROM set_aside)",
	[SQL_NEWEST] = "SELECT max(ifnull((SELECT max(ts) FROM queue WHERE device = ?1 AND place < "
		       "?2), 0),"
		       " ifnull((SELECT max(ts) FROM confirmed WHERE device = ?1), 0))",
	[SQL_TAKEN] = "SELECT EXISTS (SELECT 1 FROM queue WHERE device = ?1 AND ts = ?2)"
		      " OR EXISTS (SELECT 1 FROM confirmed WHERE device = ?1 AND ts = ?2)",
	[SQL_TAKEN_BY_OTHER] =
		"SELECT EXISTS (SELECT 1 FROM confirmed WHERE device = ?1 AND ts = ?2"
		" AND digest <> ?3) OR (?4 AND EXISTS (SELECT 1 FROM queue WHERE device = ?1"
		" AND ts = ?2 AND digest <> ?3))",
	[SQL_ENQUEUE] =
		"INSERT INTO queue (device, ts, type, payload, digest, confirmed_once, place)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[SQL_QUEUE] = "SELECT device, ts, type, payload, digest, place, confirmed_once FROM queue"
		      " ORDER BY place",
	[SQL_FIRST_PLACE] = "SELECT ifnull(min(place), 1) FROM queue",
	[SQL_LAST_PLACE] = "SELECT ifnull(max(place), 0) FROM queue",
	[SQL_DROP_PLACE] = "DELETE FROM queue WHERE place = ?1",
	[SQL_DROP_KEY] = "DELETE FROM queue WHERE device = ?1 AND ts = ?2 AND digest = ?3",
	[SQL_RESTAMP] = "UPDATE queue SET ts = ?1, digest = ?2 WHERE place = ?3",
	[SQL_ASIDE] = "SELECT device, ts, type, payload, digest, reason FROM set_aside ORDER BY id",
	[SQL_ASIDE_QUEUED] =
		"INSERT INTO set_aside (device, ts, type, payload, digest, confirmed_once,"
		" reason) SELECT device, ts, type, payload, digest, confirmed_once, ?2"
		" FROM queue WHERE place = ?1",
	[SQL_ASIDE_CONFIRMED] =
		"INSERT INTO set_aside (device, ts, type, payload, digest, confirmed_once,"
		" reason) SELECT device, ts, type, payload, digest, 1, ?2"
		" FROM confirmed WHERE seq = ?1",
	[SQL_CONFIRM] = "INSERT INTO confirmed (device, ts, type, payload, digest, seq, link)"
			" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[SQL_LINK] = "SELECT link FROM confirmed WHERE seq = ?1",
	[SQL_CONFIRMED] = "SELECT device, ts, type, payload, digest, seq, link FROM confirmed"
			  " WHERE seq > ?1 ORDER BY seq",
	[SQL_UNCONFIRM] = "DELETE FROM confirmed WHERE seq > ?1",
	[SQL_LINES] = "SELECT lines FROM inputs WHERE name = ?1",
	[SQL_SET_LINES] = "INSERT OR REPLACE INTO inputs VALUES (?1, ?2)",
};
