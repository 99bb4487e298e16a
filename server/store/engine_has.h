/*
 * engine_has: whether a log has a position, by any engine.
 *
 * Threads: as the engine's readers.
 */
#ifndef STORE_ENGINE_HAS_H
#define STORE_ENGINE_HAS_H

#include "base/status.h"
#include "store/engine.h"

/* As store_has() says. */
MUST_CHECK enum status engine_has(struct engine *, struct text log, const struct hash *genesis,
				  const struct position *, struct head *head);

#endif
