/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_blk_sys.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake_blk_sys *to_fake(const struct blk_sys *table)
{
	return (struct fake_blk_sys *)(void *)((char *)(uintptr_t)table -
					       offsetof(struct fake_blk_sys, table));
}

/* Counts the call; 0 or the error that it is to have. The lock is held. */
static int fault(struct fake_blk_sys *sys, enum fake_call call)
{
	sys->calls[call]++;
	if (!sys->fault[call].times)
		return 0;
	if (sys->fault[call].after) {
		sys->fault[call].after--;
		return 0;
	}
	sys->fault[call].times--;
	return sys->fault[call].error;
}

static void enter(struct fake_blk_sys *sys)
{
	pthread_mutex_lock(&sys->lock);
	sys->blocked++;
	pthread_cond_broadcast(&sys->changed);
	while (sys->hold)
		pthread_cond_wait(&sys->changed, &sys->lock);
	sys->blocked--;
}

static void leave(struct fake_blk_sys *sys)
{
	pthread_mutex_unlock(&sys->lock);
}

/* Who syncs is told of lost data, each open file once. The lock is held. */
static int tell_losses(struct fake_blk_sys *sys, int fd)
{
	if (fd < 0 || fd >= FAKE_FDS)
		abort();
	if (sys->told[fd] == sys->losses)
		return 0;
	sys->told[fd] = sys->losses;
	return -EIO;
}

static bool aligned(
	const struct fake_blk_sys *sys, int fd, const struct iovec *iov, int num, uint64_t pos)
{
	uint64_t bits = pos & (sys->direct.block - 1);

	if (fd != sys->direct_fd)
		return true;
	for (int i = 0; i < num; i++) {
		bits |= iov[i].iov_len & (sys->direct.block - 1);
		bits |= (uintptr_t)iov[i].iov_base & (sys->direct.align - 1);
	}
	return !bits;
}

/* How many bytes a call may move: what is asked, to the end of the disk, as far as it pleases. */
static uint64_t movable(
	const struct fake_blk_sys *sys, const struct iovec *iov, int num, uint64_t pos)
{
	uint64_t total = 0, size = vd_size(sys->disk);

	for (int i = 0; i < num; i++)
		total += iov[i].iov_len;
	total = pos < size ? MIN(total, size - pos) : 0;
	return sys->most ? MIN(total, sys->most) : total;
}

static ssize_t do_read(struct fake_blk_sys *sys, const struct iovec *iov, int num, uint64_t pos)
{
	uint64_t left = movable(sys, iov, num, pos), total = left;

	for (int i = 0; i < num && left; i++) {
		uint64_t n = MIN(left, iov[i].iov_len);

		vd_read(sys->disk, pos, iov[i].iov_base, n);
		pos += n;
		left -= n;
	}
	return (ssize_t)total;
}

/* All of it has one ticket, so it goes through a buffer. */
static ssize_t do_write(struct fake_blk_sys *sys, const struct iovec *iov, int num, uint64_t pos,
	unsigned int *ticket)
{
	uint64_t total = movable(sys, iov, num, pos), have = 0;
	uint8_t *buf = malloc(total + 1);

	for (int i = 0; i < num; i++)
		pos += iov[i].iov_len;
	sys->grown |= pos > vd_size(sys->disk);
	for (int i = 0; i < num; i++)
		pos -= iov[i].iov_len;
	for (int i = 0; i < num && have < total; i++) {
		uint64_t n = MIN(total - have, iov[i].iov_len);

		memcpy(buf + have, iov[i].iov_base, n);
		have += n;
	}
	*ticket = vd_write(sys->disk, pos, buf, total);
	free(buf);
	return (ssize_t)total;
}

static ssize_t fake_preadv(
	const struct blk_sys *table, int fd, const struct iovec *iov, int num, uint64_t offset)
{
	struct fake_blk_sys *sys = to_fake(table);
	ssize_t n;

	enter(sys);
	n = fault(sys, FAKE_PREADV);
	if (!n && !aligned(sys, fd, iov, num, offset))
		n = -EINVAL;
	else if (!n)
		n = do_read(sys, iov, num, offset);
	leave(sys);
	return n;
}

static ssize_t fake_pwritev(
	const struct blk_sys *table, int fd, const struct iovec *iov, int num, uint64_t offset)
{
	struct fake_blk_sys *sys = to_fake(table);
	unsigned int ticket;
	ssize_t n;

	enter(sys);
	n = fault(sys, FAKE_PWRITEV);
	if (!n && !aligned(sys, fd, iov, num, offset)) {
		n = -EINVAL;
	} else if (!n) {
		n = do_write(sys, iov, num, offset, &ticket);
		vd_complete(sys->disk, ticket);
	}
	leave(sys);
	return n;
}

static int fake_fdatasync(const struct blk_sys *table, int fd)
{
	struct fake_blk_sys *sys = to_fake(table);
	int rc;

	enter(sys);
	rc = fault(sys, FAKE_FDATASYNC);
	if (!rc)
		rc = tell_losses(sys, fd);
	if (!rc)
		vd_flush_end(sys->disk, vd_flush_begin(sys->disk));
	leave(sys);
	return rc;
}

static int fake_fallocate(
	const struct blk_sys *table, int fd, int mode, uint64_t offset, uint64_t len)
{
	struct fake_blk_sys *sys = to_fake(table);
	int rc;

	(void)fd;
	enter(sys);
	rc = fault(sys, FAKE_FALLOCATE);
	if (!rc && mode & ~(sys->fallocate_modes | FALLOC_FL_KEEP_SIZE))
		rc = -EOPNOTSUPP;
	if (!rc) {
		vd_complete(sys->disk, vd_zero(sys->disk, offset, len));
	}
	leave(sys);
	return rc;
}

static int fake_discard(const struct blk_sys *table, int fd, uint64_t offset, uint64_t len)
{
	struct fake_blk_sys *sys = to_fake(table);
	int rc;

	(void)fd, (void)offset, (void)len;
	enter(sys);
	rc = fault(sys, FAKE_DISCARD);
	leave(sys);
	return rc ? rc : -EOPNOTSUPP;
}

static int fake_set_direct(const struct blk_sys *table, int fd, struct blk_direct *ret)
{
	struct fake_blk_sys *sys = to_fake(table);

	if (!sys->direct_error) {
		*ret = sys->direct;
		sys->direct_fd = fd;
	}
	return sys->direct_error;
}

static int fake_setup(const struct blk_sys *table, int num, struct blk_aio_queue **ret)
{
	(void)num;
	*ret = (struct blk_aio_queue *)to_fake(table);
	return to_fake(table)->aio_error;
}

/* What an iocb moves: its own iovecs, or one in *single. */
static const struct iovec *iovecs(const struct iocb *iocb, struct iovec *single, int *num)
{
	const short op = iocb->aio_lio_opcode;

	if (op == IO_CMD_PREADV || op == IO_CMD_PWRITEV) {
		*num = (int)iocb->u.c.nbytes;
		return iocb->u.c.buf;
	}
	*single = (struct iovec){.iov_base = iocb->u.c.buf, .iov_len = iocb->u.c.nbytes};
	*num = 1;
	return single;
}

static bool writes(const struct iocb *iocb)
{
	return iocb->aio_lio_opcode == IO_CMD_PWRITE || iocb->aio_lio_opcode == IO_CMD_PWRITEV;
}

static void begin_aio(struct fake_blk_sys *sys, struct iocb *iocb)
{
	unsigned int i = sys->num_flight++;
	struct iovec single;
	int num;
	const struct iovec *iov = iovecs(iocb, &single, &num);

	sys->flight[i] = iocb;
	sys->ticket[i] = 0;
	if (writes(iocb))
		do_write(sys, iov, num, (uint64_t)iocb->u.c.offset, &sys->ticket[i]);
	else if (iocb->aio_lio_opcode == IO_CMD_FDSYNC)
		sys->ticket[i] = vd_flush_begin(sys->disk);
}

/* Returns what the kernel would; on the medium is what it says. */
static int64_t work_aio(struct fake_blk_sys *sys, const struct iocb *iocb, unsigned int ticket)
{
	const uint64_t pos = (uint64_t)iocb->u.c.offset;
	struct iovec single;
	int num, rc;
	const struct iovec *iov = iovecs(iocb, &single, &num);

	if (iocb->aio_lio_opcode == IO_CMD_FDSYNC) {
		rc = fault(sys, FAKE_FDATASYNC);
		if (!rc)
			rc = tell_losses(sys, iocb->aio_fildes);
		if (!rc)
			vd_flush_end(sys->disk, ticket);
		return rc;
	}
	rc = fault(sys, FAKE_AIO_RESULT);
	if (!rc && writes(iocb) && iocb->aio_rw_flags & RWF_DSYNC)
		rc = tell_losses(sys, iocb->aio_fildes);
	if (rc)
		return rc;
	if (!writes(iocb))
		return do_read(sys, iov, num, pos);
	if (iocb->aio_rw_flags & RWF_DSYNC)
		vd_complete_fua(sys->disk, ticket);
	else
		vd_complete(sys->disk, ticket);
	return (int64_t)movable(sys, iov, num, pos);
}

static void end_aio(struct fake_blk_sys *sys, unsigned int i)
{
	struct iocb *iocb = sys->flight[i];
	struct io_event *event = &sys->event[sys->num_events++];
	const uint64_t one = 1;

	*event = (struct io_event){.data = iocb->data, .obj = iocb};
	event->res = (unsigned long)work_aio(sys, iocb, sys->ticket[i]);
	sys->num_flight--;
	memmove(&sys->flight[i], &sys->flight[i + 1],
		(sys->num_flight - i) * sizeof(sys->flight[0]));
	memmove(&sys->ticket[i], &sys->ticket[i + 1],
		(sys->num_flight - i) * sizeof(sys->ticket[0]));
	if (write((int)iocb->u.c.resfd, &one, sizeof(one)) < 0)
		perror("eventfd");
}

static int submit_one(struct fake_blk_sys *sys, struct iocb *iocb)
{
	struct iovec single;
	int num;
	const struct iovec *iov = iovecs(iocb, &single, &num);

	if (iocb->aio_lio_opcode == IO_CMD_FDSYNC
			? sys->no_fdsync
			: !aligned(sys, iocb->aio_fildes, iov, num, (uint64_t)iocb->u.c.offset))
		return -EINVAL;
	if (sys->num_flight >= sys->aio_room || sys->num_flight + sys->num_events >= FAKE_AIO_MAX)
		return -EAGAIN;
	begin_aio(sys, iocb);
	if (!sys->manual)
		end_aio(sys, sys->num_flight - 1);
	return 0;
}

static int fake_submit(
	const struct blk_sys *table, struct blk_aio_queue *aio, long num, struct iocb **iocbs)
{
	struct fake_blk_sys *sys = to_fake(table);
	int done = 0, rc;

	(void)aio;
	pthread_mutex_lock(&sys->lock);
	rc = fault(sys, FAKE_AIO_SUBMIT);
	while (!rc && done < num) {
		rc = submit_one(sys, iocbs[done]);
		done += !rc;
	}
	pthread_mutex_unlock(&sys->lock);
	return done ? done : rc;
}

static unsigned int fake_reap(const struct blk_sys *table, struct blk_aio_queue *aio,
	unsigned int max, struct io_event *events)
{
	struct fake_blk_sys *sys = to_fake(table);
	unsigned int n;

	(void)aio;
	pthread_mutex_lock(&sys->lock);
	n = MIN(max, sys->num_events);
	memcpy(events, sys->event, n * sizeof(events[0]));
	sys->num_events -= n;
	memmove(sys->event, sys->event + n, sys->num_events * sizeof(events[0]));
	pthread_mutex_unlock(&sys->lock);
	return n;
}

static unsigned int fake_ready(const struct blk_sys *table, struct blk_aio_queue *aio)
{
	struct fake_blk_sys *sys = to_fake(table);
	unsigned int n;

	(void)aio;
	pthread_mutex_lock(&sys->lock);
	n = sys->num_events;
	pthread_mutex_unlock(&sys->lock);
	return n;
}

static void fake_destroy(const struct blk_sys *table, struct blk_aio_queue *aio)
{
	(void)table;
	(void)aio;
}

void fake_sys_init(struct fake_blk_sys *sys, uint64_t size)
{
	*sys = (struct fake_blk_sys){
		.table =
			{
				.preadv = fake_preadv,
				.pwritev = fake_pwritev,
				.fdatasync = fake_fdatasync,
				.fallocate = fake_fallocate,
				.discard = fake_discard,
				.set_direct = fake_set_direct,
				.aio_setup = fake_setup,
				.aio_submit = fake_submit,
				.aio_reap = fake_reap,
				.aio_ready = fake_ready,
				.aio_destroy = fake_destroy,
			},
		.direct = {.block = 1, .align = 1},
		.direct_fd = -1,
		.aio_room = FAKE_AIO_MAX,
		.fallocate_modes = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE,
	};
	sys->disk = vd_create(size);
	pthread_mutex_init(&sys->lock, NULL);
	pthread_cond_init(&sys->changed, NULL);
}

void fake_sys_fini(struct fake_blk_sys *sys)
{
	vd_destroy(sys->disk);
	pthread_cond_destroy(&sys->changed);
	pthread_mutex_destroy(&sys->lock);
}

void fake_sys_fail(struct fake_blk_sys *sys, enum fake_call call, unsigned int after,
	unsigned int times, int error)
{
	pthread_mutex_lock(&sys->lock);
	sys->fault[call].after = after;
	sys->fault[call].times = times;
	sys->fault[call].error = error;
	pthread_mutex_unlock(&sys->lock);
}

void fake_sys_lose(struct fake_blk_sys *sys)
{
	pthread_mutex_lock(&sys->lock);
	sys->losses++;
	pthread_mutex_unlock(&sys->lock);
}

unsigned int fake_sys_calls(struct fake_blk_sys *sys, enum fake_call call)
{
	unsigned int n;

	pthread_mutex_lock(&sys->lock);
	n = sys->calls[call];
	pthread_mutex_unlock(&sys->lock);
	return n;
}

bool fake_sys_complete(struct fake_blk_sys *sys, unsigned int i)
{
	bool there;

	pthread_mutex_lock(&sys->lock);
	there = i < sys->num_flight;
	if (there)
		end_aio(sys, i);
	pthread_mutex_unlock(&sys->lock);
	return there;
}

unsigned int fake_sys_in_flight(struct fake_blk_sys *sys)
{
	unsigned int n;

	pthread_mutex_lock(&sys->lock);
	n = sys->num_flight;
	pthread_mutex_unlock(&sys->lock);
	return n;
}

void fake_sys_wait_blocked(struct fake_blk_sys *sys, unsigned int count)
{
	pthread_mutex_lock(&sys->lock);
	while (sys->blocked < count)
		pthread_cond_wait(&sys->changed, &sys->lock);
	pthread_mutex_unlock(&sys->lock);
}

void fake_sys_let_go(struct fake_blk_sys *sys)
{
	pthread_mutex_lock(&sys->lock);
	sys->hold = false;
	pthread_cond_broadcast(&sys->changed);
	pthread_mutex_unlock(&sys->lock);
}
