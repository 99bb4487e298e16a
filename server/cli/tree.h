/*
 * tree: a folder with all that is in it: walked, copied, removed. Only files and folders of it count; links
 * are not followed.
 *
 * Threads: one.
 */
#ifndef CLI_TREE_H
#define CLI_TREE_H

#include <stdbool.h>
#include <sys/types.h>

/* name: the path below the folder. False ends the walk. */
typedef bool tree_visitor(void *cookie, const char *name);

/* Every file, in the order of their names. False: the visitor ended it, or what cannot be read was reported. */
bool tree_walk(const char *folder, tree_visitor *, void *cookie);

/* Everything in it, and itself. What is gone is right. */
void tree_remove(const char *folder);

/* Gives everything in it, and itself, to whoever owns `like`, where that is somebody else. False: reported. */
bool tree_give(const char *folder, const char *like);

/* Syncs its folders; its files have been. False: reported. */
bool tree_sync(const char *folder);

/* The folder that a path is in; from malloc, NULL when memory is out. */
char *tree_parent(const char *path);

/* From malloc; NULL, and reported, when memory is out. */
char *tree_path(const char *folder, const char *name);

#endif
