/* The configuration file: what is taken has no complaint, what is not has one. */
#include "config.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "fuzz/fuzzer.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	char *no_environment[] = {NULL};
	char flag[64];
	char *said = NULL;
	size_t said_size = 0;
	enum config_action action;
	const int fd = memfd_create("config", MFD_CLOEXEC);
	FILE *errors = open_memstream(&said, &said_size);
	CHECK(fd != -1 && errors != NULL && write(fd, data, size) == (ssize_t)size);
	(void)snprintf(flag, sizeof(flag), "--config=/proc/self/fd/%d", fd);
	char *argv[] = {(char[]){"edgereplayd"}, flag, NULL};
	const enum status status = config_load(&config, 2, argv, no_environment, errors, &action);
	fclose(errors);
	CHECK((status == STATUS_OK) == (said_size == 0));
	CHECK(status != STATUS_OK || (config.server.threads >= 1 && config.server.threads <= 64 &&
				      config.limits.wait_sec <= 30));
	free(said);
	(void)close(fd);
	return 0;
}
