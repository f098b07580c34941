/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netload serve ADDRESS PORT: the host's end; says "serving", and goes on for ever.
 * netload ADDRESS PORT OP,COUNT...: what TCP costs, as a program in the guest sees it. For each
 * test a line "RESULT OP NANOSECONDS", per MiB or round trip. Static, for a guest's initramfs.
 *
 *	send	COUNT MiB to the host, in writes of 1 MiB, until it says that all is there
 *	recv	COUNT MiB from the host
 *	echo	COUNT times 64 bytes there and back
 *
 * Each test has a connection of its own, and a quarter of it that is not timed goes before.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, ECHO = 64 };

struct request {
	char op;
	uint8_t pad[7];
	uint64_t count; /* as both ends have it: one machine */
};

static uint8_t data[MIB];

static void fail(const char *what)
{
	printf("netload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void write_all(int fd, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		const ssize_t n = write(fd, (const uint8_t *)buf + done, len - done);

		if (n <= 0)
			fail("write");
		done += (size_t)n;
	}
}

/* 0 at the end of the stream, which may come only before the first byte. */
static int read_all(int fd, void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		const ssize_t n = read(fd, (uint8_t *)buf + done, len - done);

		if (n < 0 || (n == 0 && done))
			fail("read");
		if (n == 0)
			return 0;
		done += (size_t)n;
	}
	return 1;
}

static void set_options(int fd)
{
	const int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static struct sockaddr_in address_of(char **argv)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};

	if (inet_pton(AF_INET, argv[0], &address.sin_addr) != 1)
		fail(argv[0]);
	return address;
}

/* ---- the host's end ---- */

static void answer(int fd, const struct request *request)
{
	const size_t len = request->op == 'e' ? ECHO : MIB;

	for (uint64_t i = 0; i < request->count; i++) {
		if (request->op != 'r' && !read_all(fd, data, len))
			fail("the client is gone");
		if (request->op != 's')
			write_all(fd, data, len);
	}
	if (request->op == 's')
		write_all(fd, data, 1);
}

static void serve(char **argv)
{
	const struct sockaddr_in address = address_of(argv);
	const int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	struct request request;

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(server, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(server, 8) < 0)
		fail("listen");
	puts("serving");
	fflush(stdout);
	for (;;) {
		const int fd = accept(server, NULL, NULL);

		if (fd < 0)
			fail("accept");
		set_options(fd);
		while (read_all(fd, &request, sizeof(request)))
			answer(fd, &request);
		close(fd);
	}
}

/* ---- the guest's end ---- */

static uint64_t ask(int fd, char op, uint64_t count)
{
	const struct request request = {.op = op, .count = count};
	const size_t len = op == 'e' ? ECHO : MIB;
	const uint64_t start = now();

	write_all(fd, &request, sizeof(request));
	for (uint64_t i = 0; i < count; i++) {
		if (op != 'r')
			write_all(fd, data, len);
		if (op != 's' && !read_all(fd, data, len))
			fail("the server is gone");
	}
	if (op == 's' && !read_all(fd, data, 1))
		fail("the server is gone");
	return now() - start;
}

static void test(char **argv, const char *words)
{
	const struct sockaddr_in address = address_of(argv);
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	unsigned int count;
	uint64_t took;
	char op[8];

	if (sscanf(words, "%7[a-z],%u", op, &count) != 2 || count < 4)
		fail(words);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	set_options(fd);
	ask(fd, op[0], count / 4);
	took = ask(fd, op[0], count);
	printf("RESULT %s %llu\n", op, (unsigned long long)(took / count));
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "serve"))
		serve(argv + 2);
	for (int i = 3; i < argc; i++)
		test(argv + 1, argv[i]);
	puts("DONE");
	return argc < 4;
}
