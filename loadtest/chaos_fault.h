/*
 * chaos_fault: which fault an exchange meets. Pure: numbers in, a decision out.
 */
#ifndef LOADTEST_CHAOS_FAULT_H
#define LOADTEST_CHAOS_FAULT_H

#include "loadtest/random.h"

/* One in so many exchanges meets a fault. */
#define FAULT_ONE_IN 20

#define FAULT_DELAY_MSEC_MAX 25
#define FAULT_SLICES_MAX 24

enum fault_kind {
	FAULT_NONE,
	FAULT_DELAY_REQUEST,
	FAULT_DELAY_ANSWER,
	FAULT_SLICE_REQUEST, /* some single bytes, with pauses */
	FAULT_SLICE_ANSWER,
	FAULT_CUT_REQUEST,     /* a part of the request arrives, then both sides are closed */
	FAULT_TRUNCATE_ANSWER, /* a part of the answer arrives, likewise */
	FAULT_SWALLOW_ANSWER,  /* it was made, so the daemon has committed; nothing of it arrives */
	FAULT_RESET_REQUEST,   /* a part arrives, then the daemon gets a reset */
	FAULT_RESET_ANSWER,    /* a part arrives, then the client gets a reset */
	FAULT_KINDS
};

struct fault {
	enum fault_kind kind;
	double where; /* 0 ≤ where < 1: at which share of the first piece that arrives */
	unsigned delay_msec;
	unsigned slices;
};

/* Takes the same count of numbers whatever it decides, so that one exchange's fault does not move
 * those of later ones. */
void fault_draw(struct random *, struct fault *);

#endif
