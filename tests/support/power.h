/*
 * power: what a power cut leaves of a folder that disk watches.
 *
 * What is stable is there in any case. Of what is pending each way of cutting (enum power_cut) keeps
 * another part: the orders in which a disk may have written it are many, and these are their corners
 * and what lies between. A file is there when a name is; names that are pending are kept from the
 * oldest on, as a file system's own journal does.
 */
#ifndef SUPPORT_POWER_H
#define SUPPORT_POWER_H

#include "support/disk.h"

enum power_cut {
	CUT_KEEPS_ALL,
	CUT_KEEPS_NOTHING,
	CUT_KEEPS_HALF, /* of the sectors or pages, by the toss of a coin each */
	CUT_KEEPS_FEW,
	CUT_KEEPS_MOST,
	CUT_KEEPS_ONE_FILE,
	CUT_LOSES_ONE_FILE,
	CUT_KEEPS_THE_OLDER, /* up to some write or change of a name */
	POWER_CUTS
};

/* What is on the disk. */
struct power_image {
	struct {
		char name[DISK_NAME_MAX];
		struct disk_bytes bytes;
	} files[DISK_FILES_MAX];
	size_t count;
};

/* What stands in a file now is stable. */
static void
power_load(const char *path, const char *text)
{
	uint8_t data[4096];
	struct disk_name name = {.file = disk_new_file_locked()};
	disk_put_name(name.text, text);
	const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	CHECK(fd != -1);
	for (ssize_t got = 1; got > 0;) {
		got = read(fd, data, sizeof(data));
		CHECK(got >= 0);
		disk_put(&name.file->cached, name.file->cached.size, data, (size_t)got);
		disk_put(&name.file->stable, name.file->stable.size, data, (size_t)got);
	}
	close(fd);
	disk_set_name(&disk.cached, &name);
	disk_set_name(&disk.stable, &name);
}

static void
power_forget_files(void)
{
	for (size_t i = 0; i < disk.file_count; i++) {
		struct disk_file *file = &disk.files[i];
		disk_forget_pending(file);
		free(file->pending);
		free(file->cached.data);
		free(file->stable.data);
		*file = (struct disk_file){0};
	}
	disk.file_count = disk.cached.count = disk.stable.count = disk.count = 0;
}

/* From now on what is done to the folder's files is remembered; what stands in them is stable.
 * Forgets the folder that was watched before. */
static void
power_watch(const char *folder, size_t unit)
{
	disk_lock();
	power_forget_files();
	disk.unit = unit;
	snprintf(disk.folder, sizeof(disk.folder), "%s", folder);
	DIR *entries = opendir(folder);
	CHECK(entries != NULL);
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		char path[1024];
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_type == DT_REG && disk_name_locked(path) != NULL)
			power_load(path, entry->d_name);
	}
	closedir(entries);
	disk_unlock(0);
}

/* Until the next power_watch(). */
DISK_UNUSED static void
power_unwatch(void)
{
	disk_lock();
	disk.folder[0] = '\0';
	disk_unlock(0);
}

static uint64_t
power_random(uint64_t *seed, uint64_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (*seed >> 33) % below;
}

/* From a moment: whether all ways of cutting leave the same. */
DISK_UNUSED static bool
power_is_all_stable(void)
{
	size_t count = disk.count;
	for (size_t i = 0; i < disk.file_count; i++)
		count += disk.files[i].count;
	return count == 0;
}

/* When the oldest of what is pending was done. */
static uint64_t
power_oldest(void)
{
	uint64_t oldest = disk.count > 0 ? disk.pending[0].time : disk.time;
	for (size_t i = 0; i < disk.file_count; i++) {
		const struct disk_file *file = &disk.files[i];
		if (file->count > 0 && file->pending[0].time < oldest)
			oldest = file->pending[0].time;
	}
	return oldest;
}

/* How a cut treats what is pending. */
struct power_rule {
	enum power_cut cut;
	const struct disk_file *one; /* the one file */
	uint64_t upto;		     /* the older is what was done before */
	uint64_t seed;
};

static bool
power_keeps(struct power_rule *rule, const struct disk_file *file, const struct disk_change *change)
{
	switch (rule->cut) {
	case CUT_KEEPS_ALL:
		return true;
	case CUT_KEEPS_HALF:
		return power_random(&rule->seed, 2) == 0;
	case CUT_KEEPS_FEW:
		return power_random(&rule->seed, 8) == 0;
	case CUT_KEEPS_MOST:
		return power_random(&rule->seed, 8) != 0;
	case CUT_KEEPS_ONE_FILE:
		return file == rule->one;
	case CUT_LOSES_ONE_FILE:
		return file != rule->one;
	case CUT_KEEPS_THE_OLDER:
		return change->time < rule->upto;
	case CUT_KEEPS_NOTHING:
	case POWER_CUTS:
		break;
	}
	return false;
}

/* The folder's names after the cut. */
static struct disk_names
power_names(struct power_rule *rule)
{
	struct disk_names names = disk.stable;
	size_t kept = disk.count;
	if (rule->cut == CUT_KEEPS_NOTHING)
		kept = 0;
	else if (rule->cut != CUT_KEEPS_ALL && rule->cut != CUT_KEEPS_THE_OLDER)
		kept = (size_t)power_random(&rule->seed, disk.count + 1);
	for (size_t i = 0; i < kept; i++) {
		if (rule->cut != CUT_KEEPS_THE_OLDER || disk.pending[i].time < rule->upto)
			disk_rename(&names, &disk.pending[i]);
	}
	return names;
}

/* What a power cut would leave. From a moment, or while nobody writes. */
static void
power_cut(struct power_image *image, enum power_cut cut, uint64_t seed)
{
	struct power_rule rule = {.cut = cut, .seed = seed};
	const uint64_t oldest = power_oldest();
	rule.upto = oldest + power_random(&rule.seed, disk.time - oldest + 1);
	if (disk.file_count > 0)
		rule.one = &disk.files[power_random(&rule.seed, disk.file_count)];
	const struct disk_names names = power_names(&rule);
	image->count = 0;
	for (size_t i = 0; i < names.count; i++) {
		const struct disk_file *file = names.items[i].file;
		if (file == NULL)
			continue;
		struct disk_bytes *left = &image->files[image->count].bytes;
		*left = (struct disk_bytes){0};
		memcpy(image->files[image->count++].name, names.items[i].text, DISK_NAME_MAX);
		disk_put(left, 0, file->stable.data, file->stable.size);
		for (size_t n = 0; n < file->count; n++) {
			if (power_keeps(&rule, file, &file->pending[n]))
				disk_change(left, &file->pending[n]);
		}
	}
}

static void
power_forget(struct power_image *image)
{
	for (size_t i = 0; i < image->count; i++)
		free(image->files[i].bytes.data);
	image->count = 0;
}

static void
power_clear_folder(const char *folder)
{
	DIR *entries = opendir(folder);
	CHECK(entries != NULL);
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		if (entry->d_type == DT_REG)
			CHECK(unlinkat(dirfd(entries), entry->d_name, 0) == 0);
	}
	closedir(entries);
}

/* Makes a folder, which is not watched, what the image is. */
static void
power_lay_out(const struct power_image *image, const char *folder)
{
	power_clear_folder(folder);
	for (size_t i = 0; i < image->count; i++) {
		const struct disk_bytes *bytes = &image->files[i].bytes;
		char path[1024];
		snprintf(path, sizeof(path), "%s/%s", folder, image->files[i].name);
		const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		CHECK(fd != -1 && write(fd, bytes->data, bytes->size) == (ssize_t)bytes->size &&
		      close(fd) == 0);
	}
}

#endif
