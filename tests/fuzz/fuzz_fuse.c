/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of a shared directory. The input is a list of steps, sixteen bytes each: requests that
 * are right or nearly right, with nodes and handles that the client was given or made up; renames
 * and links on the host in between.
 *
 * Oracles: nothing outside the directory is opened or changed, whatever links lead there (it is
 * watched, and compared); a read-only share does not change; what is hidden is never told; each
 * reply is one (tests/unit/devices/fs/fs_driver.c); after a reset nothing is left but the root.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fuzz targets are linked with the core alone: the fakes come in as source. */
#include "../unit/devices/fs/fs_driver.c"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP = 16, MAX_STEPS = 200, NODES = 16, HANDLES = 8, ARG = 128 };

struct state {
	struct fsd d;
	uint64_t nodes[NODES], handles[HANDLES];
	unsigned int num_nodes, num_handles;
	bool read_only;
	int changes; /* inotify of the share, where nothing may change */
};

static const char *const names[] = {"file", "dir", "out", "fifo", "below", "secret", "hidden",
	"new", "new2", "linked", "..", ".", "", "a/b", "/etc", "user.a"};

/* By operation: the structure's size, and what it begins with: a handle, a node, or anything. */
static const struct {
	uint8_t size;
	char first;
	uint8_t names;
	bool entry, opened; /* what a reply begins with, and ends with */
} forms[] = {
	[FUSE_LOOKUP] = {0, 0, 1, true, false},
	[FUSE_FORGET] = {8, 0, 0, false, false},
	[FUSE_GETATTR] = {16, 0, 0, false, false},
	[FUSE_SETATTR] = {88, 0, 0, false, false},
	[FUSE_SYMLINK] = {0, 0, 2, true, false},
	[FUSE_MKNOD] = {16, 0, 1, true, false},
	[FUSE_MKDIR] = {8, 0, 1, true, false},
	[FUSE_UNLINK] = {0, 0, 1, false, false},
	[FUSE_RMDIR] = {0, 0, 1, false, false},
	[FUSE_RENAME] = {8, 'n', 2, false, false},
	[FUSE_LINK] = {8, 'n', 1, true, false},
	[FUSE_OPEN] = {8, 0, 0, false, true},
	[FUSE_READ] = {40, 'h', 0, false, false},
	[FUSE_WRITE] = {40, 'h', 0, false, false},
	[FUSE_RELEASE] = {24, 'h', 0, false, false},
	[FUSE_FSYNC] = {16, 'h', 0, false, false},
	[FUSE_SETXATTR] = {8, 0, 1, false, false},
	[FUSE_GETXATTR] = {8, 0, 1, false, false},
	[FUSE_LISTXATTR] = {8, 0, 0, false, false},
	[FUSE_REMOVEXATTR] = {0, 0, 1, false, false},
	[FUSE_INIT] = {64, 0, 0, false, false},
	[FUSE_OPENDIR] = {8, 0, 0, false, true},
	[FUSE_READDIR] = {40, 'h', 0, false, false},
	[FUSE_RELEASEDIR] = {24, 'h', 0, false, false},
	[FUSE_FSYNCDIR] = {16, 'h', 0, false, false},
	[FUSE_ACCESS] = {8, 0, 0, false, false},
	[FUSE_CREATE] = {16, 0, 1, true, true},
	[FUSE_BATCH_FORGET] = {8, 0, 0, false, false},
	[FUSE_FALLOCATE] = {32, 'h', 0, false, false},
	[FUSE_READDIRPLUS] = {40, 'h', 0, false, false},
	[FUSE_RENAME2] = {16, 'n', 2, false, false},
	[FUSE_LSEEK] = {24, 'h', 0, false, false},
	[FUSE_COPY_FILE_RANGE] = {56, 'h', 0, false, false},
	[FUSE_TMPFILE] = {16, 0, 1, true, true},
	[55] = {0},
};

/* Neither memory nor the disk is filled up. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct rlimit limit = {4 * MiB, RLIM_INFINITY};

	(void)argc, (void)argv;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	setenv("TMPDIR", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", 0);
	return 0;
}

static void note(uint64_t *list, unsigned int *num, unsigned int max, uint64_t id)
{
	list[*num < max ? (*num)++ : id % max] = id;
}

/* Nobody is told of a file that is hidden. */
static void check_told(const struct state *s)
{
	CHECK(!memmem(s->d.reply, s->d.len, "hidden", 6));
}

static void take_ids(struct state *s, uint32_t op)
{
	uint64_t id;

	if (forms[op].entry && s->d.len >= sizeof(struct fuse_entry_out)) {
		memcpy(&id, s->d.reply, sizeof(id));
		note(s->nodes, &s->num_nodes, NODES, id);
	}
	if (forms[op].opened && s->d.len >= sizeof(struct fuse_open_out)) {
		memcpy(&id, s->d.reply + s->d.len - sizeof(struct fuse_open_out), sizeof(id));
		note(s->handles, &s->num_handles, HANDLES, id);
	}
}

static void request(struct state *s, const uint8_t *step)
{
	const uint32_t op = step[0] % ARRAY_SIZE(forms);
	uint8_t arg[ARG];
	uint64_t id;
	int rc;

	for (unsigned int i = 0; i < ARG; i++)
		arg[i] = i % 16 < 8 ? step[8 + i % 8] : 0;
	id = forms[op].first == 'n' ? s->nodes[step[4] % s->num_nodes]
				    : s->handles[step[4] % s->num_handles];
	if (forms[op].first)
		memcpy(arg, &id, sizeof(id));
	if (op == FUSE_INIT)
		memcpy(arg, "\7\0\0\0\46\0\0", 8);
	id = step[1] & 0x80 ? step[1] & 0x7f : s->nodes[step[1] % s->num_nodes];
	fsd_begin(&s->d, op, id);
	fsd_add(&s->d, arg, step[5] & 0x80 ? step[5] & 0x7f : forms[op].size);
	if (forms[op].names > 0)
		fsd_add_name(&s->d, names[step[2] % ARRAY_SIZE(names)]);
	if (forms[op].names > 1)
		fsd_add_name(&s->d, names[step[3] % ARRAY_SIZE(names)]);
	if (step[5] & 0x40)
		fsd_add(&s->d, arg, step[6] % ARG);
	if (step[6] & 0x80)
		s->d.room = step[7];
	else
		s->d.room = 16 + 4096;
	s->d.piece = step[7] & 1 ? 1 + step[7] % 64 : 0;
	rc = fsd_send(&s->d);
	if (!rc)
		take_ids(s, op);
	if (op == FUSE_READDIR || op == FUSE_READDIRPLUS)
		check_told(s);
}

/* What somebody on the host does meanwhile, within the share. */
static void host(struct state *s, const uint8_t *step)
{
	char a[PATH_MAX], b[PATH_MAX];

	snprintf(a, sizeof(a), "%s/%s", s->d.share, names[step[1] % 6]);
	snprintf(b, sizeof(b), "%s/%s", s->d.share, names[step[2] % 6]);
	if (step[3] & 1)
		renameat2(AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */);
	else if (step[3] & 2)
		rename(a, b);
	else if (step[3] & 4)
		unlink(a);
	else
		(void)!symlink("../outside", a);
}

static void set_up(struct state *s, uint8_t how)
{
	static const char *const hide[] = {"hidden"};
	const struct fs_config config = {.read_only = how & 1,
		.cache = (how >> 1) % 3,
		.owner = how & 8 ? FS_OWNER_ROOT : FS_OWNER_HOST,
		.confined = how & 16,
		.hide = hide,
		.num_hide = 1,
		.max_fds = FS_MIN_FDS};

	fsd_make(&s->d);
	fsd_put(&s->d, "share/file", "data");
	mkdir(fsd_path(&s->d, "share/dir"), 0755);
	fsd_put(&s->d, "share/dir/below", "more");
	fsd_put(&s->d, "share/hidden", "hidden");
	(void)!symlink("../outside", fsd_path(&s->d, "share/out"));
	mkfifo(fsd_path(&s->d, "share/fifo"), 0600);
	fsd_init(&s->d, &config);
	s->read_only = config.read_only;
	s->nodes[0] = FUSE_ROOT_ID;
	s->num_nodes = s->num_handles = 1;
	s->changes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	CHECK(inotify_add_watch(s->changes, s->d.share,
		      IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVE) >= 0);
}

static void tear_down(struct state *s)
{
	char event[256];
	struct fs_counts counts;

	CHECK(!s->read_only || read(s->changes, event, sizeof(event)) < 0);
	close(s->changes);
	fs_reset(s->d.fs);
	fs_count(s->d.fs, &counts);
	CHECK(counts.nodes == 1 && !counts.handles && !counts.fds);
	fsd_remove(&s->d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct state s;

	if (size < 1 + STEP)
		return 0;
	memset(&s, 0, sizeof(s));
	set_up(&s, data[0]);
	for (size_t i = 1, n = 0; i + STEP <= size && n < MAX_STEPS; i += STEP, n++) {
		if (data[i] >= 0xf0 && !s.read_only)
			host(&s, data + i);
		else
			request(&s, data + i);
		fsd_check_outside(&s.d);
	}
	tear_down(&s);
	return 0;
}
