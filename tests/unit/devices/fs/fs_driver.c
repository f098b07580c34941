/* SPDX-License-Identifier: BSD-2-Clause */
#include "fs_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fakes/check.h"
#include "vm/core/error.h"

enum { POISON = 0xa5 };

static const char secret[] = "nobody may read this";

char *fsd_path(struct fsd *d, const char *path)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *ret = paths[next++ % 4];

	CHECK((size_t)snprintf(ret, PATH_MAX, "%s/%s", d->dir, path) < PATH_MAX);
	return ret;
}

void fsd_put(struct fsd *d, const char *path, const char *text)
{
	const int fd = open(fsd_path(d, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

void fsd_make(struct fsd *d)
{
	const char *tmp = getenv("TMPDIR");

	*d = (struct fsd){.watch = -1, .room = FSD_BYTES};
	snprintf(d->dir, sizeof(d->dir), "%.40s/bantam-fs-XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(d->dir));
	snprintf(d->share, sizeof(d->share), "%s/share", d->dir);
	snprintf(d->outside, sizeof(d->outside), "%s/outside", d->dir);
	CHECK(mkdir(d->share, 0755) == 0 && mkdir(d->outside, 0755) == 0);
	fsd_put(d, "outside/secret", secret);
	d->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	CHECK(d->watch >= 0);
	d->watched[0] = inotify_add_watch(d->watch, d->outside, IN_ALL_EVENTS);
	d->watched[1] = inotify_add_watch(d->watch, fsd_path(d, "outside/secret"), IN_ALL_EVENTS);
	CHECK(d->watched[0] >= 0 && d->watched[1] >= 0);
	d->in = malloc(FSD_BYTES);
	d->before = malloc(FSD_BYTES);
	d->out = malloc(FSD_BYTES);
	CHECK(d->in && d->before && d->out);
}

void fsd_start(struct fsd *d, const struct fs_config *config)
{
	struct fs_config all = *config;
	struct error err;
	int rc;

	all.path = d->share;
	all.max_fds = all.max_fds ? all.max_fds : 256;
	rc = fs_create(&all, &d->fs, &err);
	if (rc < 0)
		fprintf(stderr, "%s\n", err.text);
	CHECK(rc == 0);
}

void fsd_init(struct fsd *d, const struct fs_config *config)
{
	const struct fuse_init_in in = {
		.major = 7, .minor = 37, .max_readahead = 1 << 17, .flags = ~0u, .flags2 = ~0u};

	fsd_start(d, config);
	CHECK(fsd_call(d, FUSE_INIT, 0, &in, sizeof(in)) == 0);
}

void fsd_stop(struct fsd *d)
{
	fs_destroy(d->fs);
	d->fs = NULL;
}

void fsd_check_outside(struct fsd *d)
{
	char events[4096], text[sizeof(secret)] = "";
	ssize_t n = read(d->watch, events, sizeof(events));
	int fd;

	if (n > 0)
		fprintf(stderr, "outside: event %#x\n", ((struct inotify_event *)events)->mask);
	CHECK(n < 0 && errno == EAGAIN);
	fd = open(fsd_path(d, "outside/secret"), O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && read(fd, text, sizeof(text)) == sizeof(secret) - 1);
	CHECK(!strcmp(text, secret));
	close(fd);
	/* those were ours */
	while (read(d->watch, events, sizeof(events)) > 0)
		;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void fsd_remove(struct fsd *d)
{
	fsd_stop(d);
	fsd_check_outside(d);
	close(d->watch);
	nftw(d->dir, remove_one, 64, FTW_DEPTH | FTW_PHYS);
	free(d->in);
	free(d->before);
	free(d->out);
}

/* ---- requests ---- */

struct fuse_in_header *fsd_begin(struct fsd *d, uint32_t opcode, uint64_t node)
{
	struct fuse_in_header *h = (void *)d->in;

	*h = (struct fuse_in_header){.opcode = opcode,
		.unique = d->unique += 2,
		.nodeid = node,
		.uid = geteuid(),
		.gid = getegid(),
		.pid = 1};
	d->in_len = sizeof(*h);
	return h;
}

void fsd_add(struct fsd *d, const void *bytes, size_t len)
{
	CHECK(len <= FSD_BYTES - d->in_len);
	if (len)
		memcpy(d->in + d->in_len, bytes, len);
	d->in_len += len;
}

void fsd_add_name(struct fsd *d, const char *name)
{
	fsd_add(d, name, strlen(name) + 1);
}

static int cut(const struct fsd *d, uint8_t *bytes, size_t len, struct iovec *iov)
{
	const size_t piece = d->piece && len / d->piece < FSD_MAX_IOV - 1 ? d->piece : len;
	int n = 0;

	for (size_t at = 0; at < len; at += piece)
		iov[n++] = (struct iovec){bytes + at, MIN(piece, len - at)};
	return n;
}

static void check_reply(const struct fsd *d, size_t n)
{
	const struct fuse_out_header *out = (const void *)d->out;

	for (size_t i = n; i < MIN(d->room, n + 8192); i++)
		CHECK(d->out[i] == POISON);
	if (!n)
		return;
	CHECK(n >= sizeof(*out) && n <= d->room && out->len == n);
	CHECK(out->unique == ((const struct fuse_in_header *)(const void *)d->before)->unique);
	CHECK(out->error <= 0 && out->error > -512);
	CHECK(out->error == 0 || n == sizeof(*out));
}

int fsd_send(struct fsd *d)
{
	struct fuse_in_header *h = (void *)d->in;
	const struct fuse_out_header *out = (const void *)d->out;
	struct fs_buffers buffers = {.in = d->iov[0], .out = d->iov[1]};
	size_t n;

	if (!h->len)
		h->len = (uint32_t)d->in_len;
	memcpy(d->before, d->in, d->in_len);
	memset(d->out, POISON, MIN(d->room, (size_t)FSD_BYTES));
	buffers.num_in = cut(d, d->in, d->in_len, d->iov[0]);
	buffers.num_out = cut(d, d->out, d->room, d->iov[1]);
	n = fs_serve(d->fs, &buffers);
	check_reply(d, n);
	CHECK(!memcmp(d->before, d->in, d->in_len));
	d->room = FSD_BYTES;
	d->len = n ? n - sizeof(*out) : 0;
	d->reply = d->out + sizeof(*out);
	return n ? out->error : FSD_NO_REPLY;
}

int fsd_call(struct fsd *d, uint32_t opcode, uint64_t node, const void *arg, size_t len)
{
	fsd_begin(d, opcode, node);
	fsd_add(d, arg, len);
	return fsd_send(d);
}

int fsd_call_name(struct fsd *d, uint32_t opcode, uint64_t node, const void *arg, size_t len,
	const char *name)
{
	fsd_begin(d, opcode, node);
	fsd_add(d, arg, len);
	fsd_add_name(d, name);
	return fsd_send(d);
}

static void take(struct fsd *d, size_t at, void *dst, size_t len)
{
	CHECK(range_ok(at, len, d->len));
	memcpy(dst, d->reply + at, len);
}

int fsd_lookup(struct fsd *d, uint64_t dir, const char *name, struct fuse_entry_out *out)
{
	const int rc = fsd_call_name(d, FUSE_LOOKUP, dir, NULL, 0, name);

	if (!rc)
		take(d, 0, out, sizeof(*out));
	return rc;
}

uint64_t fsd_walk(struct fsd *d, const char *path)
{
	struct fuse_entry_out entry = {.nodeid = FUSE_ROOT_ID};
	char copy[PATH_MAX], *rest = copy, *name;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((name = strsep(&rest, "/")))
		CHECK(fsd_lookup(d, entry.nodeid, name, &entry) == 0 && entry.nodeid);
	return entry.nodeid;
}

static int open_by(struct fsd *d, uint32_t opcode, uint64_t node, uint32_t flags, uint64_t *fh)
{
	const struct fuse_open_in in = {.flags = flags};
	struct fuse_open_out out;
	const int rc = fsd_call(d, opcode, node, &in, sizeof(in));

	if (rc)
		return rc;
	take(d, 0, &out, sizeof(out));
	*fh = out.fh;
	return 0;
}

int fsd_open(struct fsd *d, uint64_t node, uint32_t flags, uint64_t *fh)
{
	return open_by(d, FUSE_OPEN, node, flags, fh);
}

int fsd_opendir(struct fsd *d, uint64_t node, uint64_t *fh)
{
	return open_by(d, FUSE_OPENDIR, node, O_RDONLY, fh);
}

int fsd_read(struct fsd *d, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size)
{
	const struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};

	return fsd_call(d, FUSE_READ, node, &in, sizeof(in));
}

int fsd_write(struct fsd *d, uint64_t node, uint64_t fh, uint64_t offset, const void *bytes,
	uint32_t size)
{
	const struct fuse_write_in in = {.fh = fh, .offset = offset, .size = size};

	fsd_begin(d, FUSE_WRITE, node);
	fsd_add(d, &in, sizeof(in));
	fsd_add(d, bytes, size);
	return fsd_send(d);
}

int fsd_create(struct fsd *d, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
	struct fuse_entry_out *entry, uint64_t *fh)
{
	const struct fuse_create_in in = {.flags = flags, .mode = S_IFREG | mode};
	struct fuse_open_out open;
	const int rc = fsd_call_name(d, FUSE_CREATE, dir, &in, sizeof(in), name);

	if (rc)
		return rc;
	take(d, 0, entry, sizeof(*entry));
	take(d, sizeof(*entry), &open, sizeof(open));
	*fh = open.fh;
	return 0;
}

int fsd_getattr(struct fsd *d, uint64_t node, struct fuse_attr *attr)
{
	const struct fuse_getattr_in in = {0};
	struct fuse_attr_out out;
	const int rc = fsd_call(d, FUSE_GETATTR, node, &in, sizeof(in));

	if (rc)
		return rc;
	take(d, 0, &out, sizeof(out));
	*attr = out.attr;
	return 0;
}

int fsd_release(struct fsd *d, uint64_t node, uint64_t fh)
{
	const struct fuse_release_in in = {.fh = fh};

	return fsd_call(d, FUSE_RELEASE, node, &in, sizeof(in));
}

void fsd_forget(struct fsd *d, uint64_t node, uint64_t times)
{
	const struct fuse_forget_in in = {.nlookup = times};

	CHECK(fsd_call(d, FUSE_FORGET, node, &in, sizeof(in)) == FSD_NO_REPLY);
}
