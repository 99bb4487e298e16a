/* The corpus of the fuzzer that this is linked with, file by file. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzzer.h"

#define INPUT_SIZE_MAX ((size_t)1 << 20)
#define PREFIX "fuzz_"

static void
replay(const char *path)
{
	uint8_t *room = malloc(INPUT_SIZE_MAX);
	FILE *file = fopen(path, "rb");
	if (room == NULL || file == NULL) {
		perror(path);
		exit(1);
	}
	const size_t size = fread(room, 1, INPUT_SIZE_MAX, file);
	fclose(file);
	/* Exactly as long, so that a sanitizer sees who reads on. */
	uint8_t *data = malloc(size == 0 ? 1 : size);
	if (data == NULL)
		exit(1);
	memcpy(data, room, size);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	free(room);
}

int
main(int argc, char **argv)
{
	const char *root = getenv("EDGEREPLAY_ROOT");
	const char *name = strrchr(argv[0], '/');
	char folder[4096], path[8192];
	size_t count = 0;
	name = strstr(name == NULL ? argv[0] : name, PREFIX);
	if (argc != 1 || name == NULL)
		return 2;
	(void)snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", root == NULL ? "." : root,
		       name + strlen(PREFIX));
	DIR *corpus = opendir(folder);
	if (corpus == NULL) {
		perror(folder);
		return 1;
	}
	for (struct dirent *entry = readdir(corpus); entry != NULL; entry = readdir(corpus)) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		replay(path);
		count++;
	}
	closedir(corpus);
	printf("# %zu inputs\n", count);
	return count > 0 ? 0 : 1;
}
