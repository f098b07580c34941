/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load DISK OP,SIZE,DEPTH,COUNT...: what an I/O costs, as a program sees it that keeps DEPTH of
 *them in flight (O_DIRECT, io_submit and io_getevents). Static, for a guest's initramfs. For each
 *test a line "RESULT OP SIZE DEPTH NANOSECONDS", the last one per I/O.
 *
 *	read, write	at random, each block once in an order that is always the same
 *	seqread		one after the other
 *	flush		fdatasync alone; SIZE and DEPTH say nothing
 *	writeflush	a write and fdatasync behind it
 *
 * Every sector begins with a stamp that is made of its number and of how often it was written; the
 * rest of it is always the same. First the range is filled. While the clock runs, the first stamp
 *of each block of 4 KiB is looked at; in the end all is read back, and each byte of it. Any
 * difference, and any error, ends the program with status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	SECTOR = 512,
	BLOCK = 4096,
	SECTOR_WORDS = SECTOR / 8,
	RANGE = 64 << 20, /* of the disk that is used; a power of two */
	MAX_SIZE = 128 << 10,
	MAX_DEPTH = 64,
};

struct test {
	char op[16];
	unsigned int size, depth, count;
};

struct load {
	int fd;
	aio_context_t aio;
	struct iocb iocb[MAX_DEPTH];
	uint64_t *buf[MAX_DEPTH];
	uint8_t written[RANGE / BLOCK]; /* times, modulo 256 */
};

static void fail(const char *what)
{
	printf("load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- data ---- */

static uint64_t stamp(const struct load *load, uint64_t offset)
{
	return (offset / SECTOR + 1) * UINT64_C(0x9e3779b97f4a7c15) +
	       load->written[offset / BLOCK] * UINT64_C(0xd1b54a32d192ed03);
}

static uint64_t filler(unsigned int i)
{
	return (i + 1) * UINT64_C(0x2545f4914f6cdd1d);
}

/* What buf has to say when it is written to offset; the rest of the sectors is there already. */
static void put_stamps(struct load *load, uint64_t *buf, uint64_t offset, unsigned int size)
{
	for (unsigned int at = 0; at < size; at += BLOCK)
		load->written[(offset + at) / BLOCK]++;
	for (unsigned int at = 0; at < size; at += SECTOR)
		buf[at / 8] = stamp(load, offset + at);
}

static void differs(uint64_t offset)
{
	printf("load: wrong data at %llu\n", (unsigned long long)offset);
	exit(1);
}

static void check_blocks(
	const struct load *load, const uint64_t *buf, uint64_t offset, unsigned int size)
{
	for (unsigned int at = 0; at < size; at += BLOCK)
		if (buf[at / 8] != stamp(load, offset + at))
			differs(offset + at);
}

static void check_all(
	const struct load *load, const uint64_t *buf, uint64_t offset, unsigned int size)
{
	for (unsigned int i = 0; i < size / 8; i++) {
		const unsigned int word = i % SECTOR_WORDS;

		if (buf[i] != (word ? filler(word) : stamp(load, offset + i * 8)))
			differs(offset + i * 8);
	}
}

static void put_fillers(uint64_t *buf)
{
	for (unsigned int i = 0; i < MAX_SIZE / 8; i++)
		buf[i] = filler(i % SECTOR_WORDS);
}

/* ---- asynchronous I/O ---- */

static void prepare(struct load *load, const struct test *test, unsigned int slot, unsigned int n)
{
	struct iocb *iocb = &load->iocb[slot];
	const uint64_t places = RANGE / test->size;
	uint64_t place = n % places;

	/* Odd factors and shifts only permute. */
	if (test->op[0] != 's') {
		place = (place * 0x9e3779b1) % places;
		place = ((place ^ (place >> 5)) * 0x85ebca6b) % places;
	}
	memset(iocb, 0, sizeof(*iocb));
	iocb->aio_data = slot;
	iocb->aio_lio_opcode = test->op[0] == 'w' ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
	iocb->aio_fildes = (uint32_t)load->fd;
	iocb->aio_buf = (uintptr_t)load->buf[slot];
	iocb->aio_nbytes = test->size;
	iocb->aio_offset = (int64_t)(place * test->size);
	if (test->op[0] == 'w')
		put_stamps(load, load->buf[slot], (uint64_t)iocb->aio_offset, test->size);
}

static void submit(struct load *load, struct iocb **list, long num)
{
	while (num) {
		long n = syscall(SYS_io_submit, load->aio, num, list);

		if (n <= 0)
			fail("io_submit");
		list += n;
		num -= n;
	}
}

static void finish(const struct load *load, const struct test *test, const struct io_event *event)
{
	const struct iocb *iocb = &load->iocb[event->data];

	if (event->res != (int64_t)test->size) {
		errno = event->res < 0 ? (int)-event->res : EIO;
		fail(test->op);
	}
	if (test->op[0] != 'w')
		check_blocks(load, load->buf[event->data], (uint64_t)iocb->aio_offset, test->size);
}

/* Nothing is in flight before and after. */
static void run_aio(struct load *load, const struct test *test, unsigned int count)
{
	struct io_event events[MAX_DEPTH];
	struct iocb *list[MAX_DEPTH];
	unsigned int started = 0, done = 0;
	long num = 0;

	while (started < test->depth && started < count) {
		prepare(load, test, started, started);
		list[num++] = &load->iocb[started++];
	}
	while (done < count) {
		long n;

		submit(load, list, num);
		n = syscall(SYS_io_getevents, load->aio, 1, MAX_DEPTH, events, NULL);
		if (n <= 0)
			fail("io_getevents");
		num = 0;
		for (long i = 0; i < n; i++, done++) {
			finish(load, test, &events[i]);
			if (started == count)
				continue;
			prepare(load, test, (unsigned int)events[i].data, started++);
			list[num++] = &load->iocb[events[i].data];
		}
	}
}

/* ---- tests ---- */

static void run_flush(struct load *load, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (fdatasync(load->fd) < 0)
			fail("fdatasync");
}

static void run_writeflush(struct load *load, const struct test *test, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		const uint64_t offset = (uint64_t)i * test->size % RANGE;

		put_stamps(load, load->buf[0], offset, test->size);
		if (pwrite(load->fd, load->buf[0], test->size, (off_t)offset) !=
				(ssize_t)test->size ||
			fdatasync(load->fd) < 0)
			fail("write and flush");
	}
}

static void run(struct load *load, const struct test *test, unsigned int count)
{
	if (!strcmp(test->op, "flush"))
		run_flush(load, count);
	else if (!strcmp(test->op, "writeflush"))
		run_writeflush(load, test, count);
	else
		run_aio(load, test, count);
}

static bool known(const struct test *test)
{
	static const char *const ops[] = {"read", "write", "seqread", "flush", "writeflush"};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(test->op, ops[i]))
			return test->size >= BLOCK && test->size <= MAX_SIZE &&
			       !(test->size & (test->size - 1)) && test->depth &&
			       test->depth <= MAX_DEPTH && test->count;
	return false;
}

static void measure(struct load *load, const char *words)
{
	struct test test;
	uint64_t begin, end;

	if (sscanf(words, "%15[a-z],%u,%u,%u", test.op, &test.size, &test.depth, &test.count) !=
			4 ||
		!known(&test)) {
		printf("load: %s is no test\n", words);
		exit(1);
	}
	for (unsigned int i = 0; i < MAX_DEPTH; i++)
		put_fillers(load->buf[i]);
	run(load, &test, test.count / 8 + 1); /* what is made at first use is there then */
	begin = now();
	run(load, &test, test.count);
	end = now();
	printf("RESULT %s %u %u %.1f\n", test.op, test.size, test.depth,
		(double)(end - begin) / test.count);
}

static void fill(struct load *load)
{
	put_fillers(load->buf[0]);
	for (uint64_t offset = 0; offset < RANGE; offset += MAX_SIZE) {
		put_stamps(load, load->buf[0], offset, MAX_SIZE);
		if (pwrite(load->fd, load->buf[0], MAX_SIZE, (off_t)offset) != MAX_SIZE)
			fail("filling the disk");
	}
}

static void read_back(struct load *load)
{
	for (uint64_t offset = 0; offset < RANGE; offset += MAX_SIZE) {
		if (pread(load->fd, load->buf[0], MAX_SIZE, (off_t)offset) != MAX_SIZE)
			fail("reading back");
		check_all(load, load->buf[0], offset, MAX_SIZE);
	}
}

int main(int argc, char **argv)
{
	static struct load load;

	if (argc < 3) {
		printf("usage: load DISK OP,SIZE,DEPTH,COUNT...\n");
		return 1;
	}
	load.fd = open(argv[1], O_RDWR | O_DIRECT);
	if (load.fd < 0)
		fail(argv[1]);
	if (syscall(SYS_io_setup, MAX_DEPTH, &load.aio) < 0)
		fail("io_setup");
	for (unsigned int i = 0; i < MAX_DEPTH; i++) {
		load.buf[i] = mmap(NULL, MAX_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (load.buf[i] == MAP_FAILED)
			fail("memory");
	}
	fill(&load);
	for (int i = 2; i < argc; i++)
		measure(&load, argv[i]);
	read_back(&load);
	printf("DATA good\n");
	return 0;
}
