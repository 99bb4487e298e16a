/*
 * failpoint: named steps at which the process ends at once, as by kill -9, so that a test can put a
 * crash between any two of them.
 *
 *     EDGEREPLAY_FAIL_POINT=after-sync:7    the seventh time that a thread passes after-sync
 *
 * Only a build with -DEDGEREPLAY_FAIL_POINTS (build/faults) has them; in any other FAIL_POINT is
 * nothing. Such a build lists them: edgereplayd --fail-points.
 *
 * Threads: any.
 */
#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

#include <stdio.h>

/*
 * enumerator, name, and what passes it: load (requests, and what is put in place behind them), make
 * (the first start on an empty folder), start (one after a crash), stop (a clean one), snapshot (one that
 * is stored), remove (an operator's).
 */
#define FAIL_POINT_TABLE(X)                                                                        \
	X(BEFORE_DECODE, "before-decode", "load")                                                  \
	X(AFTER_DECODE, "after-decode", "load")                                                    \
	X(BEFORE_SUBMIT, "before-submit", "load")                                                  \
	X(AFTER_SUBMIT, "after-submit", "load")                                                    \
	X(BEFORE_APPEND, "before-append", "load")                                                  \
	X(BEFORE_SYNC, "before-sync", "load")                                                      \
	X(AFTER_SYNC, "after-sync", "load")                                                        \
	X(BEFORE_PUBLISH, "before-publish", "load")                                                \
	X(AFTER_PUBLISH, "after-publish", "load")                                                  \
	X(BEFORE_ANSWER, "before-answer", "load")                                                  \
	X(AFTER_ANSWER, "after-answer", "load")                                                    \
	X(BEFORE_SNAPSHOT_SYNC, "before-snapshot-sync", "snapshot")                                \
	X(AFTER_SNAPSHOT_SYNC, "after-snapshot-sync", "snapshot")                                  \
	X(AFTER_SNAPSHOT_PLACED, "after-snapshot-placed", "snapshot")                              \
	X(AFTER_SNAPSHOT_TRIM, "after-snapshot-trim", "snapshot")                                  \
	X(BEFORE_FREEZE, "before-freeze", "load")                                                  \
	X(BEFORE_BEGIN, "before-begin", "load")                                                    \
	X(AFTER_BEGIN, "after-begin", "load")                                                      \
	X(BEFORE_SLICE, "before-slice", "load start")                                              \
	X(BEFORE_SLICE_COMMIT, "before-slice-commit", "load start")                                \
	X(AFTER_SLICE_COMMIT, "after-slice-commit", "load start")                                  \
	X(BEFORE_IN_PLACE, "before-in-place", "load")                                              \
	X(AFTER_IN_PLACE, "after-in-place", "load")                                                \
	X(BEFORE_CHECKPOINT, "before-checkpoint", "load")                                          \
	X(AFTER_CHECKPOINT, "after-checkpoint", "load")                                            \
	X(BEFORE_REST, "before-rest", "load")                                                      \
	X(AFTER_REST, "after-rest", "load")                                                        \
	X(BEFORE_ANCHOR_WRITE, "before-anchor-write", "load start")                                \
	X(BEFORE_ANCHOR_SYNC, "before-anchor-sync", "load start")                                  \
	X(AFTER_ANCHOR_SYNC, "after-anchor-sync", "load start")                                    \
	X(BEFORE_MANIFEST_NEW, "before-manifest-new", "make")                                      \
	X(AFTER_MANIFEST_NEW, "after-manifest-new", "make")                                        \
	X(BEFORE_SCHEMA, "before-schema", "make")                                                  \
	X(BEFORE_SCHEMA_COMMIT, "before-schema-commit", "make")                                    \
	X(AFTER_SCHEMA_COMMIT, "after-schema-commit", "make")                                      \
	X(AFTER_JOURNAL_CREATE, "after-journal-create", "make")                                    \
	X(BEFORE_ANCHOR_CREATE, "before-anchor-create", "make")                                    \
	X(AFTER_ANCHOR_OPEN, "after-anchor-open", "make")                                          \
	X(BEFORE_ANCHOR_FOLDER, "before-anchor-folder", "make")                                    \
	X(AFTER_ANCHOR_CREATE, "after-anchor-create", "make")                                      \
	X(BEFORE_MANIFEST, "before-manifest", "make")                                              \
	X(AFTER_MANIFEST_RENAME, "after-manifest-rename", "make")                                  \
	X(AFTER_MANIFEST, "after-manifest", "make")                                                \
	X(BEFORE_REWRITE, "before-rewrite", "start")                                               \
	X(AFTER_REWRITE, "after-rewrite", "start")                                                 \
	X(RECOVER_RECORD, "recover-record", "start")                                               \
	X(RECOVER_BEFORE_COMMIT, "recover-before-commit", "start")                                 \
	X(RECOVER_AFTER_COMMIT, "recover-after-commit", "start")                                   \
	X(RECOVER_BEFORE_IN_PLACE, "recover-before-in-place", "start")                             \
	X(RECOVER_AFTER_IN_PLACE, "recover-after-in-place", "start")                               \
	X(RECOVER_BEFORE_EMPTY, "recover-before-empty", "start")                                   \
	X(RECOVER_AFTER_EMPTY, "recover-after-empty", "start")                                     \
	X(BEFORE_FIRST_BEGIN, "before-first-begin", "start make")                                  \
	X(AFTER_FIRST_BEGIN, "after-first-begin", "start make")                                    \
	X(REMOVE_BEFORE_COMMIT, "remove-before-commit", "remove")                                  \
	X(REMOVE_AFTER_COMMIT, "remove-after-commit", "remove")                                    \
	X(REMOVE_BEFORE_SNAPSHOTS, "remove-before-snapshots", "remove")                            \
	X(REMOVE_SNAPSHOT, "remove-snapshot", "remove")                                            \
	X(BEFORE_OVERWRITE, "before-overwrite", "remove")                                          \
	X(AFTER_OVERWRITE, "after-overwrite", "remove")                                            \
	X(BEFORE_SETTLE, "before-settle", "stop")                                                  \
	X(BEFORE_EMPTY, "before-empty", "stop")                                                    \
	X(AFTER_EMPTY, "after-empty", "stop")

#define FAIL_POINT_ENUMERATOR(point, name, passed_by) FAIL_POINT_##point,
enum fail_point { FAIL_POINT_TABLE(FAIL_POINT_ENUMERATOR) FAIL_POINT_COUNT };
#undef FAIL_POINT_ENUMERATOR

#ifdef EDGEREPLAY_FAIL_POINTS
#define FAIL_POINT(point) fail_point_pass(FAIL_POINT_##point)
#else
#define FAIL_POINT(point) ((void)0)
#endif

/* Ends the process if this is the pass that the environment asks for. */
void fail_point_pass(enum fail_point);

/* A line each: name, and what passes it. */
void fail_points_list(FILE *);

#endif
