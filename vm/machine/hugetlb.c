/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line of /proc/self/cgroup is NUMBER:CONTROLLERS:PATH. Version 2 has one without controllers,
 * and its tree is the mount or, on hosts that have both, below it at "unified"; version 1 has one
 * for each tree. Every group from PATH up to the root may limit us: in a container the root is one
 * of the host's groups, and has a limit, too.
 */
#include "vm/machine/hugetlb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024, PATH_BYTES = 1536 };

struct room {
	uint64_t bytes;
	char *where;
};

/* False where there is no such file, or no number in it, as "max" is none. */
static bool read_number(const char *path, uint64_t *number)
{
	char text[32] = "", *end = text;
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	if (fgets(text, sizeof(text), file))
		*number = strtoull(text, &end, 10);
	fclose(file);
	return end != text;
}

static void look_at_group(const char *group, struct room *room)
{
	static const char *const names[][2] = {
		{"max", "current"},
		{"rsvd.max", "rsvd.current"},
		{"limit_in_bytes", "usage_in_bytes"},
		{"rsvd.limit_in_bytes", "rsvd.usage_in_bytes"},
	};
	char path[PATH_BYTES + 64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		uint64_t limit, used = 0, left;

		snprintf(path, sizeof(path), "%s/hugetlb.2MB.%s", group, names[i][1]);
		read_number(path, &used);
		snprintf(path, sizeof(path), "%s/hugetlb.2MB.%s", group, names[i][0]);
		if (!read_number(path, &limit))
			continue;
		left = limit - MIN(limit, used);
		if (left >= room->bytes)
			continue;
		room->bytes = left;
		snprintf(room->where, HUGETLB_WHERE, "%.*s", HUGETLB_WHERE - 1, path);
	}
}

/* The group and all above it */
static void look_up_the_tree(const char *tree, const char *group, struct room *room)
{
	char path[PATH_BYTES];
	const size_t root = strlen(tree);
	int n = snprintf(path, sizeof(path), "%s%s", tree, group);

	if (n < 0 || (size_t)n >= sizeof(path))
		return;
	for (char *end = path + n; end && (size_t)(end - path) >= root; end = strrchr(path, '/')) {
		*end = '\0';
		look_at_group(path, room);
	}
}

static bool has_controller(const char *controllers, const char *name)
{
	const size_t len = strlen(name);

	for (const char *p = controllers; (p = strstr(p, name)) != NULL; p += len)
		if ((p == controllers || p[-1] == ',') && (p[len] == ',' || p[len] == '\0'))
			return true;
	return false;
}

static void look_at_line(char *line, const char *mount, struct room *room)
{
	char *controllers = strchr(line, ':'), *group, tree[LINE_MAX_BYTES];

	group = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!group)
		return;
	*group++ = '\0';
	controllers++;
	group[strcspn(group, "\n")] = '\0';
	if (!*controllers) {
		look_up_the_tree(mount, group, room);
		snprintf(tree, sizeof(tree), "%s/unified", mount);
		look_up_the_tree(tree, group, room);
	} else if (has_controller(controllers, "hugetlb")) {
		snprintf(tree, sizeof(tree), "%s/%s", mount, controllers);
		look_up_the_tree(tree, group, room);
		snprintf(tree, sizeof(tree), "%s/hugetlb", mount);
		look_up_the_tree(tree, group, room);
	}
}

uint64_t hugetlb_room(const char *groups, const char *mount, char where[HUGETLB_WHERE])
{
	struct room room = {.bytes = UINT64_MAX, .where = where};
	char line[LINE_MAX_BYTES];
	FILE *file = fopen(groups, "re");

	where[0] = '\0';
	if (!file)
		return room.bytes;
	while (fgets(line, sizeof(line), file))
		look_at_line(line, mount, &room);
	fclose(file);
	return room.bytes;
}
