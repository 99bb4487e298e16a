#include "store/sqlite/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

struct pool {
	char *path;
	size_t max;
	pthread_mutex_t lock;
	pthread_cond_t freed;

	/* Guarded by the lock. */
	size_t out; /* taken, or being opened */
	size_t idle_count;
	struct rows **idle; /* room for max */
};

struct pool *
pool_new(const char *path, size_t connections_max)
{
	CHECK(connections_max >= 1);
	struct pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return NULL;
	pool->max = connections_max;
	pool->path = strdup(path);
	pool->idle = calloc(connections_max, sizeof(struct rows *));
	if (pool->path == NULL || pool->idle == NULL) {
		free(pool->path);
		free(pool->idle);
		free(pool);
		return NULL;
	}
	CHECK(pthread_mutex_init(&pool->lock, NULL) == 0);
	CHECK(pthread_cond_init(&pool->freed, NULL) == 0);
	return pool;
}

static void
close_connection(struct rows *rows)
{
	struct db *db = rows_db(rows);
	rows_free(rows);
	db_close(db);
}

void
pool_free(struct pool *pool)
{
	if (pool == NULL)
		return;
	CHECK(pool->out == 0);
	while (pool->idle_count > 0)
		close_connection(pool->idle[--pool->idle_count]);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->freed);
	free(pool->path);
	free(pool->idle);
	free(pool);
}

static enum status
open_connection(const char *path, struct rows **rows)
{
	struct db *db;
	const char *problem;
	enum status status = db_open(path, DB_READ, &db, &problem);
	if (status != STATUS_OK) {
		log_error("store", "cannot open for reading", LOG_STR("problem", problem));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	status = rows_new(db, rows);
	if (status != STATUS_OK)
		db_close(db);
	return status;
}

enum status
pool_take(struct pool *pool, struct rows **rows)
{
	*rows = NULL;
	CHECK(pthread_mutex_lock(&pool->lock) == 0);
	while (pool->out == pool->max)
		CHECK(pthread_cond_wait(&pool->freed, &pool->lock) == 0);
	pool->out++;
	if (pool->idle_count > 0)
		*rows = pool->idle[--pool->idle_count];
	CHECK(pthread_mutex_unlock(&pool->lock) == 0);
	if (*rows != NULL)
		return STATUS_OK;
	enum status status = open_connection(pool->path, rows);
	if (status != STATUS_OK)
		pool_give(pool, NULL, false);
	return status;
}

void
pool_give(struct pool *pool, struct rows *rows, bool is_good)
{
	if (!is_good && rows != NULL) {
		close_connection(rows);
		rows = NULL;
	}
	CHECK(pthread_mutex_lock(&pool->lock) == 0);
	pool->out--;
	if (rows != NULL)
		pool->idle[pool->idle_count++] = rows;
	CHECK(pthread_cond_signal(&pool->freed) == 0);
	CHECK(pthread_mutex_unlock(&pool->lock) == 0);
}
