/* SPDX-License-Identifier: BSD-2-Clause */
/* The file system device on each transport (virtio 1.2, 5.11), over a directory of the host. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/fs/fs.h"
#include "fakes/virtio_fixture.h"
#include "virtio/fs/fs.h"
#include "vm/core/error.h"
#include "vm/core/io_thread.h"

enum { HIPRIO, REQUESTS, SIZE = 16, IN = sizeof(struct fuse_in_header), OUT = 16 };

static char dir[] = "/tmp/bantam-vfs-XXXXXX";
static char path[64];
static struct fs *fs;
static struct io_thread *thread;
static uint64_t unique;

static void create(enum rig_kind kind, bool threaded)
{
	const struct fs_config config = {.path = dir, .max_fds = FS_MIN_FDS};
	struct virtio_fs_config device = {
		.name = "share0", .tag = "a-tag", .queue_size = SIZE, .log = NULL};
	struct virtio_device *vdev;
	struct error err;

	rig_create(&vrig, kind);
	assert_int_equal(fs_create(&config, &fs, &err), 0);
	thread = NULL;
	if (threaded) {
		assert_int_equal(
			io_thread_create(&(struct io_thread_config){.name = "fs"}, &thread, &err),
			0);
		device.loop = io_thread_loop(thread);
	}
	device.mem = vrig.mem;
	device.fs = fs;
	assert_int_equal(virtio_fs_create(&device, &vdev), 0);
	rig_plug(&vrig, vdev);
	vdrv_attach(&drv, &vrig);
	if (thread)
		assert_int_equal(io_thread_resume(thread, &err), 0);
}

static int set_up(void **state)
{
	int fd;

	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "what is in it", 13), 13);
	close(fd);
	create((enum rig_kind)(uintptr_t)*state, false);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_destroy(&vrig);
	io_thread_destroy(thread);
	fs_destroy(fs);
	unlink(path);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

/* ---- requests ---- */

struct request {
	struct vdrv_buf bufs[40];
	unsigned int num_out, num_in;
	uint64_t in, out;
};

static void cut(struct request *r, unsigned int *num, uint64_t gpa, uint32_t len, uint32_t piece)
{
	for (uint32_t at = 0; at < len; at += piece) {
		r->bufs[r->num_out + r->num_in] = (struct vdrv_buf){gpa + at, MIN(piece, len - at)};
		(*num)++;
	}
}

/* len bytes behind the header, room for a reply, in buffers of so many bytes. */
static struct request make(
	uint32_t op, uint64_t node, const void *arg, uint32_t len, uint32_t room, uint32_t piece)
{
	const struct fuse_in_header header = {
		.len = IN + len, .opcode = op, .unique = ++unique, .nodeid = node};
	struct request r = {0};

	r.in = vdrv_alloc(&drv, IN + len, 8);
	memcpy(vdrv_at(&drv, r.in, IN + len), &header, IN);
	memcpy(vdrv_at(&drv, r.in + IN, len), arg, len);
	cut(&r, &r.num_out, r.in, IN + len, piece);
	if (room) {
		r.out = vdrv_alloc(&drv, room, 8);
		memset(vdrv_at(&drv, r.out, room), 0xa5, room);
		cut(&r, &r.num_in, r.out, room, piece);
	}
	return r;
}

static int put(unsigned int q, const struct request *r)
{
	const int head = vdrv_add(&drv, q, r->bufs, r->num_out, r->num_in, true);

	assert_int_not_equal(head, VDRV_NO_HEAD);
	vdrv_kick(&drv, q);
	return head;
}

static uint32_t take(unsigned int q, int head)
{
	uint32_t len;
	int got = vdrv_get(&drv, q, &len);

	for (unsigned int i = 0; thread && got == VDRV_NO_HEAD && i < 20000; i++) {
		usleep(1000);
		got = vdrv_get(&drv, q, &len);
	}
	assert_int_equal(got, head);
	return len;
}

/* The reply's error; its bytes go to reply. */
static int call(uint32_t op, uint64_t node, const void *arg, uint32_t len, void *reply,
	uint32_t size, uint32_t piece)
{
	const struct request r = make(op, node, arg, len, OUT + size, piece);
	struct fuse_out_header out;
	const uint32_t n = take(REQUESTS, put(REQUESTS, &r));

	assert_in_range(n, OUT, OUT + size);
	memcpy(&out, vdrv_at(&drv, r.out, OUT), OUT);
	assert_int_equal(out.len, n);
	assert_int_equal(out.unique, unique);
	memcpy(reply, vdrv_at(&drv, r.out + OUT, n - OUT), n - OUT);
	/* no byte more than it says */
	for (uint32_t i = n; i < OUT + size; i++)
		assert_int_equal(*vdrv_at(&drv, r.out + i, 1), 0xa5);
	return out.error;
}

static void init(uint32_t piece)
{
	const struct fuse_init_in in = {.major = 7, .minor = 38};
	struct fuse_init_out out;

	assert_int_equal(call(FUSE_INIT, 0, &in, sizeof(in), &out, sizeof(out), piece), 0);
	assert_int_equal(out.major, 7);
}

static void read_file(uint32_t piece)
{
	struct fuse_entry_out entry;
	struct fuse_open_in open_in = {.flags = O_RDONLY};
	struct fuse_open_out opened;
	struct fuse_read_in in = {.size = 100};
	struct fuse_release_in release = {0};
	char bytes[100] = "";

	assert_int_equal(call(FUSE_LOOKUP, 1, "file", 5, &entry, sizeof(entry), piece), 0);
	assert_int_equal(call(FUSE_OPEN, entry.nodeid, &open_in, sizeof(open_in), &opened,
				 sizeof(opened), piece),
		0);
	release.fh = in.fh = opened.fh;
	assert_int_equal(
		call(FUSE_READ, entry.nodeid, &in, sizeof(in), bytes, sizeof(bytes), piece), 0);
	assert_string_equal(bytes, "what is in it");
	assert_int_equal(
		call(FUSE_RELEASE, entry.nodeid, &release, sizeof(release), bytes, 0, piece), 0);
}

/* ---- tests ---- */

static void test_5_11_4_configuration(void **state)
{
	char tag[VIRTIO_FS_TAG_MAX] = "";

	(void)state;
	for (uint32_t i = 0; i < sizeof(tag); i++)
		tag[i] = (char)vdrv_cfg(&drv, i, 1);
	assert_string_equal(tag, "a-tag");
	for (size_t i = strlen(tag); i < sizeof(tag); i++)
		assert_int_equal(tag[i], 0);
	assert_int_equal(vdrv_cfg(&drv, VIRTIO_FS_TAG_MAX, 4), 1);
	assert_int_equal(drv.t->queue_max(&drv, HIPRIO), SIZE);
	assert_int_equal(drv.t->queue_max(&drv, REQUESTS), SIZE);
	assert_int_equal(drv.t->queue_max(&drv, 2), 0);
	vdrv_set_cfg(&drv, 0, 1, 'x');
	assert_int_equal(vdrv_cfg(&drv, 0, 1), 'a');
}

static void test_tags(void **state)
{
	static const char *const bad[] = {"", "0123456789012345678901234567890123456"};
	struct virtio_fs_config config = {.name = "x", .mem = vrig.mem, .fs = fs};
	struct virtio_device *vdev = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		config.tag = bad[i];
		assert_int_equal(virtio_fs_create(&config, &vdev), -EINVAL);
	}
	/* all of it may be used, and then there is no zero behind it */
	config.tag = "012345678901234567890123456789012345";
	config.queue_size = 16;
	assert_int_equal(virtio_fs_create(&config, &vdev), 0);
	virtio_device_destroy(vdev);
}

static void test_2_7_4_1_framing(void **state)
{
	static const uint32_t pieces[] = {4096, 64, 40, 16, 13};

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		init(pieces[i]);
		read_file(pieces[i]);
	}
}

static void test_5_11_6_hiprio(void **state)
{
	const struct fuse_forget_in in = {.nlookup = 1};
	struct fuse_entry_out entry;
	struct fs_counts counts;
	struct request r;

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	init(4096);
	assert_int_equal(call(FUSE_LOOKUP, 1, "file", 5, &entry, sizeof(entry), 4096), 0);
	fs_count(fs, &counts);
	assert_int_equal(counts.nodes, 2);
	r = make(FUSE_FORGET, entry.nodeid, &in, sizeof(in), 0, 4096);
	assert_int_equal(take(HIPRIO, put(HIPRIO, &r)), 0);
	fs_count(fs, &counts);
	assert_int_equal(counts.nodes, 1);
}

/* What is no request completes with nothing, and the device goes on. */
static void test_no_requests(void **state)
{
	struct request r;

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	r = make(FUSE_STATFS, 1, "", 0, 200, 4096);
	r.bufs[0].len = 39;
	assert_int_equal(take(REQUESTS, put(REQUESTS, &r)), 0);
	r = make(FUSE_STATFS, 1, "", 0, 15, 4096);
	assert_int_equal(take(REQUESTS, put(REQUESTS, &r)), 0);
	r = make(FUSE_STATFS, 1, "", 0, 0, 4096);
	assert_int_equal(take(REQUESTS, put(REQUESTS, &r)), 0);
	assert_false(needs_reset());
	init(4096);
}

/* The next driver knows nothing of what the last one had. */
static void test_2_4_reset(void **state)
{
	struct fuse_entry_out entry;
	struct fuse_getattr_in in = {0};
	struct fuse_attr_out attr;

	(void)state;
	vdrv_start(&drv, FEATURES_ALL);
	init(4096);
	assert_int_equal(call(FUSE_LOOKUP, 1, "file", 5, &entry, sizeof(entry), 4096), 0);
	drv.t->set_status(&drv, 0);
	vdrv_start(&drv, FEATURES_ALL);
	assert_int_equal(call(FUSE_GETATTR, 1, &in, sizeof(in), &attr, sizeof(attr), 4096), -EIO);
	init(4096);
	assert_int_equal(
		call(FUSE_GETATTR, entry.nodeid, &in, sizeof(in), &attr, sizeof(attr), 4096),
		-ESTALE);
	read_file(4096);
}

/* On a thread of its own, with resets in between, and while requests are on their way. */
static void test_thread(void **state)
{
	const enum rig_kind kind = vrig.kind;

	(void)state;
	rig_destroy(&vrig);
	fs_destroy(fs);
	create(kind, true);
	for (unsigned int i = 0; i < 5; i++) {
		struct request r;

		drv.brk = RIG_RAM_BASE;
		vdrv_start(&drv, FEATURES_ALL);
		init(4096);
		read_file(64);
		for (unsigned int k = 0; k < 8; k++) {
			r = make(FUSE_STATFS, 1, "", 0, 200, 4096);
			put(REQUESTS, &r);
		}
		drv.t->set_status(&drv, 0);
		assert_int_equal(drv.t->status(&drv), 0);
	}
}

int main(void)
{
#define ALL(f) PER_KIND(f)
#undef ON_KIND
#define ON_KIND(f, name, kind)                                                                     \
	{                                                                                          \
#f "/" name, f, set_up, tear_down, (void *)(uintptr_t)(kind)                       \
	}
	const struct CMUnitTest tests[] = {ALL(test_5_11_4_configuration), ON_MMIO(test_tags),
		ALL(test_2_7_4_1_framing), ALL(test_5_11_6_hiprio), ON_MMIO(test_no_requests),
		ALL(test_2_4_reset), ALL(test_thread)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
