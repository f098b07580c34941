/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom --user means: a name, or numbers, "UID:GID". A name is what the host's name services say.
 * The static build (include/vm/core/library.h) has none of them, as they are libraries; it reads
 * /etc/passwd itself, and where that is missing, as in a chroot, there are the numbers. A number
 * needs its group beside it: which one a user without an entry has nobody knows, and a wrong one
 * may have files.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers.h"
#include "vm/core/error.h"

/* The last one means "leave it as it is". */
enum { MAX_DIGITS = 10 };
#define ID_NONE ((uint64_t)(uid_t)-1)

static const char digits[] = "0123456789";

/* To the end of the digits; NULL for none, too many, or too large a number. */
static const char *read_id(const char *text, uid_t *id)
{
	size_t len = strspn(text, digits);
	uint64_t value;

	if (!len || len > MAX_DIGITS)
		return NULL;
	value = strtoull(text, NULL, 10);
	if (value >= ID_NONE)
		return NULL;
	*id = (uid_t)value;
	return text + len;
}

static int find_numbers(const char *text, struct user_ids *ids, struct error *err)
{
	const char *p = read_id(text, &ids->uid);

	if (p && *p == ':')
		p = read_id(p + 1, &ids->gid);
	else
		p = NULL;
	if (!p || *p)
		return error_set(err, -EINVAL,
			"--user %s: numbers are of the form UID:GID, for example 1000:1000", text);
	return 0;
}

#ifdef BANTAM_STATIC
static int look_up(const char *name, struct passwd *entry, char *buf, size_t size, bool *found)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *result;
	int rc;

	if (!file)
		return errno == ENOENT ? 0 : errno;
	while (!*found && !(rc = fgetpwent_r(file, entry, buf, size, &result)))
		*found = !strcmp(result->pw_name, name);
	fclose(file);
	return *found || rc == ENOENT ? 0 : rc;
}
#else
static int look_up(const char *name, struct passwd *entry, char *buf, size_t size, bool *found)
{
	struct passwd *result = NULL;
	int rc = getpwnam_r(name, entry, buf, size, &result);

	*found = result;
	return rc;
}
#endif

int user_find(const char *name, struct user_ids *ids, struct error *err)
{
	struct passwd entry;
	bool found = false;
	char buf[4096];
	int rc;

	if (strspn(name, digits))
		return find_numbers(name, ids, err);
	rc = look_up(name, &entry, buf, sizeof(buf), &found);
	if (!found)
		return error_set(err, rc ? -rc : -ENOENT, "--user %s: there is no such user", name);
	ids->uid = entry.pw_uid;
	ids->gid = entry.pw_gid;
	return 0;
}
