/*
 * guard: what the operator's side refuses before it looks at what is asked. It has no authentication, and a
 * unix socket's mode says who may connect; to a TCP address every user of the machine may, and every web
 * page that a browser there shows:
 *
 *     Origin            a web page asks: refused
 *     Host              a name that is not localhost, the endpoint's own or one of admin.hosts: refused. A page
 *                       whose name was led here (DNS rebinding) has such a name, and never an address
 *     POST, PUT, DELETE refused, unless admin.allow_changes; where only metrics are, they have no route
 *
 * Private to this room. Threads: any.
 */
#ifndef ADMIN_GUARD_H
#define ADMIN_GUARD_H

#include "http/request.h"

struct endpoint;

/* NULL, or why it is refused. */
const char *guard_look(const struct endpoint *, struct request *);

#endif
