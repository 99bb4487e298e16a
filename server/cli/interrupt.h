/*
 * interrupt: Ctrl-C, SIGTERM and SIGHUP as a question that long work asks itself now and then, where it may
 * take away what is half done. A second one ends the process at once.
 *
 * Threads: one.
 */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

/* From now on a signal is kept until interrupt_look(), which calls this before the process ends by it. */
void interrupt_watch(void (*clean_up)(void *cookie), void *cookie);

void interrupt_look(void);

/* A signal ends the process again; one that was kept, too, without the cleaning up: there is nothing half
 * done any more. */
void interrupt_forget(void);

#endif
