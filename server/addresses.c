#include "addresses.h"

#include <stdio.h>
#include <string.h>

#include "http/listener.h"

static bool
fail(const char *event, const char *problem)
{
	log_error("main", event, LOG_STR("problem", problem));
	return false;
}

/* Without authentication whoever reaches the socket may write any log. */
static bool
check_phones(const struct config *config, int inherited_fd)
{
	const char *problem = NULL;
	if (inherited_fd == -1 && !listener_address_is_valid(config->server.listen, &problem))
		return fail("server.listen", problem);
	if (config->auth.mode != AUTH_NONE || config->auth.allow_insecure ||
	    (inherited_fd == -1 ? listener_address_is_local(config->server.listen)
				: listener_socket_is_local(inherited_fd)))
		return true;
	return fail(
		"cannot start",
		"auth.mode=none serves everybody who reaches the address: listen on loopback or a "
		"unix socket (server.listen, or the socket that is passed in), or set "
		"auth.allow_insecure=true");
}

/* Who named keys or a secret wants them looked at. */
static bool
check_credentials(const struct config *config)
{
	if (config->auth.mode != AUTH_NONE)
		return true;
	if (config->auth.jwks_file[0] != '\0' || config->auth.jwks_url[0] != '\0')
		return fail("cannot start",
			    "auth.jwks_file and auth.jwks_url are looked at with auth.mode=jwt "
			    "alone; with auth.mode=none whoever reaches the address writes every "
			    "log: set it, or leave them out");
	if (config->auth.secret_file[0] != '\0')
		return fail("cannot start",
			    "auth.secret_file is looked at with auth.mode=proxy alone; with "
			    "auth.mode=none whoever reaches the address writes every log: set it, "
			    "or leave it out");
	return true;
}

/* Whoever reaches admin.listen is the operator. Whoever reaches admin.metrics_listen, which is none unless
 * somebody has chosen it, sees figures without the name of a log. */
static bool
check_admin(const struct config *config, const char *option, const char *listen)
{
	char address[CONFIG_TEXT_SIZE];
	const char *problem = "The path is too long.";
	if (listen[0] == '\0')
		return true;
	if (!addresses_of_admin(config, listen, address) ||
	    !listener_address_is_valid(address, &problem))
		return fail(option, problem);
	if (listen == config->admin.metrics_listen || config->admin.allow_remote ||
	    listener_address_is_local(address))
		return true;
	return fail("cannot start",
		    "admin.listen has no authentication: listen on loopback or a unix socket, or "
		    "set admin.allow_remote=true; Prometheus needs admin.metrics_listen only");
}

bool
addresses_check(const struct config *config, int inherited_fd)
{
	return check_phones(config, inherited_fd) && check_credentials(config) &&
	       check_admin(config, "admin.listen", config->admin.listen) &&
	       check_admin(config, "admin.metrics_listen", config->admin.metrics_listen);
}

bool
addresses_of_admin(const struct config *config, const char *listen, char address[CONFIG_TEXT_SIZE])
{
	static const char prefix[] = "unix:";
	const bool in_dir = strncmp(listen, prefix, strlen(prefix)) == 0 &&
			    listen[strlen(prefix)] != '/' && listen[strlen(prefix)] != '\0';
	const int size = in_dir ? snprintf(address, CONFIG_TEXT_SIZE, "%s%s/%s", prefix,
					   config->store.dir, listen + strlen(prefix))
				: snprintf(address, CONFIG_TEXT_SIZE, "%s", listen);
	return size < CONFIG_TEXT_SIZE;
}
