/*
 * phone_schema: the SQL of a phone's state file. Text only; phone_store runs it and its header says
 * what the tables mean.
 */
#ifndef CLI_PHONE_SCHEMA_H
#define CLI_PHONE_SCHEMA_H

#define PHONE_APPLICATION_ID 0x45527068 /* "ERph" */
#define PHONE_SCHEMA_VERSION 1

enum statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_PHONE_WRITE,
	SQL_PHONE_READ,
	SQL_SET_BASE,
	SQL_SET_START,
	SQL_SET_OFFSET,
	SQL_COUNTS,
	SQL_NEWEST,
	SQL_TAKEN,
	SQL_TAKEN_BY_OTHER,
	SQL_ENQUEUE,
	SQL_QUEUE,
	SQL_FIRST_PLACE,
	SQL_LAST_PLACE,
	SQL_DROP_PLACE,
	SQL_DROP_KEY,
	SQL_RESTAMP,
	SQL_ASIDE,
	SQL_ASIDE_QUEUED,
	SQL_ASIDE_CONFIRMED,
	SQL_CONFIRM,
	SQL_LINK,
	SQL_CONFIRMED,
	SQL_UNCONFIRM,
	SQL_LINES,
	SQL_SET_LINES,
	STATEMENT_COUNT
};

/* Makes the tables of a new file, in one transaction. */
extern const char phone_schema[];

/* By enum statement. */
extern const char *const phone_sql[STATEMENT_COUNT];

#endif
