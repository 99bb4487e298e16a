/*
 * address: the listening socket: makes one from its name, names one that is there.
 *
 *     "127.0.0.1:8080"   "[::1]:8080"   "localhost:8080"   ":8080" (every address)   "unix:/path"
 *
 * Private to this room.
 */
#ifndef HTTP_ADDRESS_H
#define HTTP_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/status.h"

#define ADDRESS_TEXT_SIZE 256

struct address {
	int fd;
	bool ours; /* made here: closed and unlinked here */
	char text[ADDRESS_TEXT_SIZE];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of our unix socket, or empty */
	dev_t device;						/* of the socket's file */
	ino_t inode;
};

/* Binds and listens. On failure *problem is a sentence (static). */
MUST_CHECK enum status address_listen(struct address *, const char *text, unsigned socket_mode,
				      const char **problem);

/* The same for a listening socket that was passed in. It stays the caller's. */
MUST_CHECK enum status address_inherit(struct address *, int fd, const char **problem);

/* From now on nobody can connect to a socket of ours. It keeps its number until address_close(),
 * since threads may still be about to use it. */
void address_shut(struct address *);

void address_close(struct address *);

/* A unix socket's, or one of loopback. */
bool address_is_local(const struct sockaddr *);

#endif
