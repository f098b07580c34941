/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end on stdin and stdout, whatever these are: terminals, pipes, files, sockets, nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "char_fixture.h"

enum { MEGABYTE = 1 << 20, PASTE = 100 * 1024 };

static int setup(void **state)
{
	struct char_fixture *fix = malloc(sizeof(*fix));

	char_fixture_init(fix);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	char_fixture_fini(*state);
	free(*state);
	return 0;
}

static void open_stdio(struct char_fixture *fix, int in_fd, int out_fd)
{
	assert_int_equal(char_stdio_create(&fix->config, in_fd, out_fd, &fix->dev, &fix->err), 0);
	char_fixture_attach(fix);
}

static void close_stdio(struct char_fixture *fix)
{
	chardev_attach(fix->dev, NULL, NULL);
	chardev_close(fix->dev);
	fix->dev = NULL;
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void assert_rx(struct char_fixture *fix, const char *want)
{
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, strlen(want));
	assert_memory_equal(fix->rx, want, strlen(want));
}

/* Closed by each test itself. */
struct tty {
	int master, slave;
};

static struct tty open_on_tty(struct char_fixture *fix)
{
	struct tty tty;

	char_fixture_openpty(&tty.master, &tty.slave);
	open_stdio(fix, tty.slave, tty.slave);
	return tty;
}

static void close_tty(struct char_fixture *fix, struct tty tty)
{
	close_stdio(fix);
	close(tty.master);
	close(tty.slave);
}

/* ---- modes ---- */

/* With the padding cleared, so that modes can be compared as bytes. */
static void get_modes(int fd, struct termios *modes)
{
	memset(modes, 0, sizeof(*modes));
	assert_int_equal(tcgetattr(fd, modes), 0);
}

static void test_raw_and_back(void **state)
{
	struct char_fixture *fix = *state;
	struct termios before, after;
	struct tty tty;

	char_fixture_openpty(&tty.master, &tty.slave);
	get_modes(tty.slave, &before);
	open_stdio(fix, tty.slave, tty.slave);
	assert_true(char_fixture_is_raw(tty.slave));
	assert_int_equal(fcntl(tty.slave, F_GETFL) & O_NONBLOCK, 0);
	char_stdio_suspend(fix->dev);
	get_modes(tty.slave, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	char_stdio_resume(fix->dev);
	char_stdio_resume(fix->dev); /* the command and SIGCONT both do */
	assert_true(char_fixture_is_raw(tty.slave));
	close_stdio(fix);
	get_modes(tty.slave, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* the guard is reaped */
	assert_int_equal(errno, ECHILD);
	close(tty.master);
	close(tty.slave);
}

/* What the person changes while bantam is suspended is what bantam comes back to. */
static void test_modes_changed_while_suspended(void **state)
{
	struct char_fixture *fix = *state;
	struct termios modes;
	struct tty tty = open_on_tty(fix);

	char_stdio_suspend(fix->dev);
	get_modes(tty.slave, &modes);
	modes.c_cc[VERASE] = 0x08;
	tcsetattr(tty.slave, TCSANOW, &modes);
	char_stdio_resume(fix->dev);
	assert_true(char_fixture_is_raw(tty.slave));
	close_stdio(fix);
	get_modes(tty.slave, &modes);
	assert_int_equal(modes.c_cc[VERASE], 0x08);
	assert_true(modes.c_lflag & ICANON);
	close(tty.master);
	close(tty.slave);
}

static void test_suspended_reads_nothing(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);

	char_stdio_suspend(fix->dev);
	say(tty.master, "for the shell\n");
	char_fixture_settle(fix);
	fake_clock_advance(&fix->clock, 60 * NSEC_PER_SEC);
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, 0);
	char_stdio_resume(fix->dev);
	assert_rx(fix, "for the shell\n");
	close_tty(fix, tty);
}

static void test_log_lines(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty;
	char line[64];

	char_fixture_openpty(&tty.master, &tty.slave);
	fix->log.fd = tty.slave;
	open_stdio(fix, tty.slave, tty.slave);
	assert_true(atomic_load(&fix->log.raw_tty));
	log_msg(&fix->log, LOG_INFO, "hello");
	assert_int_equal(read(tty.master, line, sizeof(line)), strlen("bantam: hello\r\n"));
	char_stdio_suspend(fix->dev);
	assert_false(atomic_load(&fix->log.raw_tty));
	char_stdio_resume(fix->dev);
	close_stdio(fix);
	assert_false(atomic_load(&fix->log.raw_tty));
	fix->log.fd = fix->log_fd;
	/* A log that is a file gets no CR. */
	open_stdio(fix, tty.slave, tty.slave);
	assert_false(atomic_load(&fix->log.raw_tty));
	close_tty(fix, tty);
}

static void die_with_terminal(int slave, int ready, int signal_number)
{
	struct char_fixture fix;

	char_fixture_init(&fix);
	if (char_stdio_create(&fix.config, slave, slave, &fix.dev, &fix.err) == 0)
		say(ready, "r");
	signal(SIGSEGV, SIG_DFL); /* the sanitizer's */
	if (signal_number)
		raise(signal_number);
	_exit(0); /* forgot to close */
}

static void wait_restored(int slave, const struct termios *before)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct termios now;

	for (int ms = 0; ms < 1000; ms++) {
		get_modes(slave, &now);
		if (memcmp(&now, before, sizeof(now)) == 0)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("the terminal is not restored");
}

static void test_guard(void **state)
{
	static const int signals[] = {SIGKILL, SIGSEGV, SIGTERM, 0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct termios before;
		int ready[2], status;
		struct tty tty;
		char byte;
		pid_t pid;

		char_fixture_openpty(&tty.master, &tty.slave);
		get_modes(tty.slave, &before);
		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (!pid)
			die_with_terminal(tty.slave, ready[1], signals[i]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		waitpid(pid, &status, 0);
		assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, signals[i]);
		wait_restored(tty.slave, &before);
		close(tty.master);
		close(tty.slave);
		close(ready[0]);
		close(ready[1]);
	}
}

/* A shell that was faster has set the terminal for its prompt; the guard keeps off. */
static void test_guard_respects_shell(void **state)
{
	struct termios shell, now;
	int ready[2], go[2];
	struct tty tty;
	char byte;
	pid_t pid;

	(void)state;
	char_fixture_openpty(&tty.master, &tty.slave);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (!pid) {
		struct char_fixture fix;

		char_fixture_init(&fix);
		char_stdio_create(&fix.config, tty.slave, tty.slave, &fix.dev, &fix.err);
		say(ready[1], "r");
		if (read(go[0], &byte, 1) == 1)
			raise(SIGKILL);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	get_modes(tty.slave, &shell);
	shell.c_lflag |= ISIG; /* readline: no ICANON, no ECHO, but signals */
	shell.c_oflag |= OPOST;
	tcsetattr(tty.slave, TCSANOW, &shell);
	get_modes(tty.slave, &shell);
	say(go[1], "g");
	waitpid(pid, NULL, 0);
	usleep(200000);
	get_modes(tty.slave, &now);
	assert_memory_equal(&now, &shell, sizeof(now));
	close(tty.master);
	close(tty.slave);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
}

/*
 * A session of its own with the terminal: bantam's group in the background, and then brought to
 * the front without a signal. Exit status 0, or the number of the step that failed.
 */
static void background_job(int slave)
{
	struct char_fixture fix;
	pid_t front;

	setsid();
	ioctl(slave, TIOCSCTTY, 0);
	front = fork();
	if (!front) {
		pause();
		_exit(0);
	}
	setpgid(front, front);
	signal(SIGTTOU, SIG_IGN);
	tcsetpgrp(slave, front);
	signal(SIGTTOU, SIG_DFL);
	char_fixture_init(&fix);
	if (char_stdio_create(&fix.config, slave, slave, &fix.dev, &fix.err))
		_exit(1);
	char_fixture_attach(&fix);
	if (char_fixture_is_raw(slave))
		_exit(2);
	if (!char_fixture_logged(&fix, "keys do not reach the guest (with timeout: timeout -"))
		_exit(7);
	char_fixture_settle(&fix); /* reading would stop us by SIGTTIN */
	fake_clock_advance(&fix.clock, 2 * NSEC_PER_SEC);
	char_fixture_settle(&fix);
	if (char_fixture_is_raw(slave) || fix.rx_len)
		_exit(3);
	signal(SIGTTOU, SIG_IGN);
	tcsetpgrp(slave, getpgrp());
	signal(SIGTTOU, SIG_DFL);
	fake_clock_advance(&fix.clock, NSEC_PER_SEC);
	if (!char_fixture_is_raw(slave))
		_exit(4);
	char_fixture_settle(&fix);
	if (fix.rx_len != 6)
		_exit(5);
	kill(front, SIGKILL);
	chardev_close(fix.dev);
	_exit(char_fixture_is_raw(slave) ? 6 : 0);
}

static void test_background(void **state)
{
	struct tty tty;
	int status;
	pid_t pid;

	(void)state;
	char_fixture_openpty(&tty.master, &tty.slave);
	say(tty.master, "typed\n");
	pid = fork();
	if (!pid)
		background_job(tty.slave);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (WIFSTOPPED(status))
		kill(pid, SIGKILL);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(tty.master);
	close(tty.slave);
}

/* What the terminal shows from the beginning; what follows a newline must not stand behind it. */
static void assert_shown(struct tty tty, const char *want)
{
	char got[256] = "";
	struct pollfd pfd = {.fd = tty.master, .events = POLLIN};
	size_t used = 0;

	while (used < strlen(want) && poll(&pfd, 1, 10000) > 0) {
		ssize_t n = read(tty.master, got + used, sizeof(got) - 1 - used);

		assert_true(n > 0);
		used += (size_t)n;
	}
	assert_string_equal(got, want);
}

static void test_last_line(void **state)
{
	static const struct {
		const char *last;
		bool log, told;
		const char *want;
	} cases[] = {
		{"down\r\n", false, false, "down\r\n$ "},
		{"login: ", false, false, "login: \r\n$ "},
		{"login: ", true, false, "login: \r\n$ "},
		{"login: ", true, true, "login: \r\nbantam: reset\r\n$ "},
		{"down\r\n", true, true, "down\r\nbantam: reset\r\n$ "},
	};
	struct char_fixture *fix = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tty tty;

		char_fixture_openpty(&tty.master, &tty.slave);
		if (cases[i].log)
			fix->log.fd = tty.slave;
		open_stdio(fix, tty.slave, tty.slave);
		chardev_write(fix->dev, (const uint8_t *)cases[i].last, strlen(cases[i].last));
		if (cases[i].told)
			log_msg(&fix->log, LOG_INFO, "reset");
		close_stdio(fix);
		fix->log.fd = fix->log_fd;
		say(tty.slave, "$ ");
		assert_shown(tty, cases[i].want);
		close(tty.master);
		close(tty.slave);
	}
}

/* ---- input ---- */

static void test_terminal_is_transparent(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);
	uint8_t all[256], out[256];

	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	assert_int_equal(write(tty.master, all, 1), 1);
	assert_int_equal(write(tty.master, all + 2, 254), 254);
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, 255);
	assert_int_equal(fix->rx[0], 0);
	assert_memory_equal(fix->rx + 1, all + 2, 254);
	assert_int_equal(chardev_write(fix->dev, all, 256), 256);
	char_fixture_drain(fix, tty.master, out, 256, 256);
	assert_memory_equal(out, all, 256);
	close_tty(fix, tty);
}

static void test_commands(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);
	char help[1024] = "";

	say(tty.master, "1\001");
	char_fixture_settle(fix);
	say(tty.master, "x2\001p3\001r4\001z5\001a6\001\0017");
	assert_rx(fix, "12345\0016\0017");
	for (size_t i = 0; i < ARRAY_SIZE(fix->commands); i++)
		assert_int_equal(fix->commands[i], i != CONSOLE_DETACH);
	say(tty.master, "\001?");
	char_fixture_settle(fix);
	assert_true(read(tty.master, help, sizeof(help) - 1) > 0);
	assert_non_null(strstr(help, "Ctrl-A x"));
	close_tty(fix, tty);
}

static void test_break_keeps_its_place(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);

	fix->room = 0;
	say(tty.master, "abc\001bh");
	char_fixture_settle(fix);
	assert_int_equal(fix->breaks, 0);
	fix->room = 2;
	chardev_rx_kick(fix->dev);
	assert_rx(fix, "abch");
	assert_int_equal(fix->breaks, 1);
	assert_int_equal(fix->break_at, 3);
	close_tty(fix, tty);
}

/* Pasted at once into a front end that takes 16 bytes a time when it is asked to. */
static void paste(struct char_fixture *fix, int master, size_t len)
{
	struct char_patience patience = {0};
	uint8_t *data = malloc(len);
	struct char_feeder *feeder;

	assert_non_null(data);
	char_fixture_pattern(data, len);
	fix->room = 0;
	fix->one_shot = true;
	feeder = char_feed(master, data, len);
	while (fix->rx_len < len && char_patient(&patience, fix->rx_len)) {
		fix->room = 16;
		chardev_rx_kick(fix->dev);
		event_loop_step(fix->loop, 1);
	}
	assert_int_equal(fix->rx_len, len);
	char_feed_join(feeder);
	assert_memory_equal(fix->rx, data, len);
	assert_true(fix->max_rx <= 16);
	free(data);
}

static void test_paste(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);

	paste(fix, tty.master, PASTE);
	assert_false(char_fixture_logged(fix, "dropped"));
	close_tty(fix, tty);
}

/* Far more than the buffer holds: the terminal's driver makes the sender wait. */
static void test_paste_megabyte(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);

	paste(fix, tty.master, MEGABYTE);
	close_tty(fix, tty);
}

static void test_paste_into_slow_guest(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);
	const size_t len = 300 * 1024;
	uint8_t *data = malloc(len);
	struct char_feeder *feeder;

	char_fixture_pattern(data, len);
	fix->room = 0;
	fix->one_shot = true;
	feeder = char_feed(tty.master, data, len);
	for (int i = 0; i < 100; i++) {
		char_fixture_settle(fix);
		fake_clock_advance(&fix->clock, 4 * NSEC_PER_SEC);
		fix->room = 1;
		chardev_rx_kick(fix->dev);
	}
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, 100);
	fix->one_shot = false;
	fix->room = SIZE_MAX;
	chardev_rx_kick(fix->dev);
	for (int i = 0; fix->rx_len < len && i < 60000; i++)
		event_loop_step(fix->loop, 1);
	char_feed_join(feeder);
	assert_int_equal(fix->rx_len, len);
	assert_memory_equal(fix->rx, data, len);
	free(data);
	close_tty(fix, tty);
}

/* A guest that reads nothing at all: the person can quit, even behind a megabyte. */
static void test_quit_dead_guest(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);
	uint8_t *data = malloc(MEGABYTE);
	struct char_feeder *feeder;
	struct rusage before, after;
	size_t kept;

	char_fixture_pattern(data, MEGABYTE);
	memcpy(data + MEGABYTE - 2, "\001x", 2);
	fix->room = 0;
	getrusage(RUSAGE_SELF, &before);
	feeder = char_feed(tty.master, data, MEGABYTE);
	char_fixture_settle(fix);
	assert_int_equal(fix->commands[CONSOLE_QUIT], 0);
	fake_clock_advance(&fix->clock, CHARDEV_STALL_NS + 1);
	for (int i = 0; !fix->commands[CONSOLE_QUIT] && i < 60000; i++)
		event_loop_step(fix->loop, 1);
	char_feed_join(feeder);
	assert_int_equal(fix->commands[CONSOLE_QUIT], 1);
	assert_true(char_fixture_logged(fix, "input is dropped"));
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 4096);
	/* It was only asleep: what was typed first is there, and from now on all. */
	fix->room = SIZE_MAX;
	chardev_rx_kick(fix->dev);
	char_fixture_settle(fix);
	kept = fix->rx_len;
	assert_true(kept >= PASTE && kept <= 256 * 1024);
	assert_memory_equal(fix->rx, data, kept);
	say(tty.master, "awake");
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, kept + 5);
	assert_memory_equal(fix->rx + kept, "awake", 5);
	free(data);
	close_tty(fix, tty);
}

/* 100 KB and then Ctrl-A x, at once: no need to wait for anything. */
static void test_quit_behind_paste(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);
	uint8_t *data = malloc(PASTE);
	struct char_feeder *feeder;

	char_fixture_pattern(data, PASTE);
	memcpy(data + PASTE - 2, "\001x", 2);
	fix->room = 0;
	feeder = char_feed(tty.master, data, PASTE);
	for (int i = 0; !fix->commands[CONSOLE_QUIT] && i < 60000; i++)
		event_loop_step(fix->loop, 1);
	char_feed_join(feeder);
	assert_int_equal(fix->commands[CONSOLE_QUIT], 1);
	free(data);
	close_tty(fix, tty);
}

static void suspend_and_resume(struct char_fixture *fix, enum console_command command)
{
	if (command != CONSOLE_SUSPEND)
		return;
	char_stdio_suspend(fix->dev);
	char_stdio_resume(fix->dev);
}

static void test_suspend_from_command(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);

	fix->on_command = suspend_and_resume;
	say(tty.master, "before\001zafter");
	assert_rx(fix, "beforeafter");
	assert_true(char_fixture_is_raw(tty.slave));
	close_tty(fix, tty);
}

static void test_reattach_keeps_input(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);

	chardev_attach(fix->dev, NULL, NULL);
	say(tty.master, "typed during the reboot");
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, 0);
	char_fixture_attach(fix);
	assert_rx(fix, "typed during the reboot");
	close_tty(fix, tty);
}

static void test_terminal_hangs_up(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);

	close(tty.master);
	char_fixture_settle(fix); /* returns: no loop at full speed */
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"x", 1), 1);
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"y", 1), 1);
	char_fixture_settle(fix);
	close_stdio(fix);
	close(tty.slave);
}

static void test_pipe_is_transparent(void **state)
{
	struct char_fixture *fix = *state;
	uint8_t all[512], out[16];
	int in[2], back[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(back, O_CLOEXEC), 0);
	open_stdio(fix, in[0], back[1]);
	for (int i = 0; i < 512; i++)
		all[i] = (uint8_t)i;
	memcpy(all, "\001x\001z", 4);
	assert_int_equal(write(in[1], all, 512), 512);
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, 512);
	assert_memory_equal(fix->rx, all, 512);
	assert_int_equal(fix->commands[CONSOLE_QUIT], 0);
	assert_int_equal((fcntl(in[0], F_GETFL) | fcntl(back[1], F_GETFL)) & O_NONBLOCK, 0);
	/* The input ends; the output does not. */
	close(in[1]);
	char_fixture_settle(fix);
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"on", 2), 2);
	assert_int_equal(read(back[0], out, sizeof(out)), 2);
	close_stdio(fix);
	close(in[0]);
	close(back[0]);
	close(back[1]);
}

/* Back-pressure, for ever: a pipe never loses a byte. */
static void test_pipe_waits(void **state)
{
	struct char_fixture *fix = *state;
	uint8_t *data = malloc(MEGABYTE);
	struct char_feeder *feeder;
	int in[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	open_stdio(fix, in[0], -1);
	char_fixture_pattern(data, MEGABYTE);
	fix->room = 0;
	feeder = char_feed(in[1], data, MEGABYTE);
	char_fixture_settle(fix);
	fake_clock_advance(&fix->clock, 3600 * NSEC_PER_SEC);
	char_fixture_settle(fix);
	fix->room = 1000;
	chardev_rx_kick(fix->dev);
	for (int i = 0; fix->rx_len < MEGABYTE - 4096 && i < 60000; i++)
		event_loop_step(fix->loop, 1);
	char_feed_join(feeder);
	fix->room = 0;
	close(in[1]); /* with bytes in the pipe, and in the buffer */
	char_fixture_settle(fix);
	fix->room = 1000;
	chardev_rx_kick(fix->dev);
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, MEGABYTE);
	assert_memory_equal(fix->rx, data, MEGABYTE);
	free(data);
	close_stdio(fix);
	close(in[0]);
}

static void test_file_as_input(void **state)
{
	struct char_fixture *fix = *state;
	char path[] = "/tmp/bantam-test-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	const size_t len = 50000;
	uint8_t *data = malloc(len);

	unlink(path);
	char_fixture_pattern(data, len);
	assert_int_equal(write(fd, data, len), len);
	lseek(fd, 10, SEEK_SET); /* a shell may have read the first lines */
	fix->room = 0;
	open_stdio(fix, fd, -1);
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, 0);
	fix->room = 16;
	fix->one_shot = true;
	for (int i = 0; fix->rx_len < 1000 && i < 1000; i++) {
		fix->room = 16;
		chardev_rx_kick(fix->dev);
		event_loop_step(fix->loop, 10);
	}
	fix->one_shot = false;
	fix->room = SIZE_MAX;
	chardev_rx_kick(fix->dev);
	char_fixture_settle(fix);
	assert_int_equal(fix->rx_len, len - 10);
	assert_memory_equal(fix->rx, data + 10, len - 10);
	free(data);
	close_stdio(fix);
	close(fd);
}

static void test_nothing_as_input(void **state)
{
	struct char_fixture *fix = *state;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), closed = dup(null_fd), back[2];
	int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint8_t out[2];

	close(closed);
	const int inputs[] = {null_fd, closed, directory, -1};

	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		assert_int_equal(pipe2(back, O_CLOEXEC), 0);
		open_stdio(fix, inputs[i], back[1]);
		char_fixture_settle(fix);
		assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"ab", 2), 2);
		assert_int_equal(read(back[0], out, 2), 2);
		close_stdio(fix);
		close(back[0]);
		close(back[1]);
	}
	/* And nothing at all. */
	open_stdio(fix, closed, closed);
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"ab", 2), 2);
	close_stdio(fix);
	close(null_fd);
	close(directory);
}

/* ---- output ---- */

static void test_output_megabyte(void **state)
{
	struct char_fixture *fix = *state;
	int fds[2];
	struct tty tty;

	tty = open_on_tty(fix);
	char_fixture_check_output(fix, tty.master, MEGABYTE, 1500);
	close_tty(fix, tty);

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	open_stdio(fix, -1, fds[1]);
	char_fixture_check_output(fix, fds[0], MEGABYTE, 3000);
	close_stdio(fix);
	close(fds[0]);
	close(fds[1]);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	open_stdio(fix, fds[1], fds[1]);
	char_fixture_check_output(fix, fds[0], MEGABYTE, 3000);
	say(fds[0], "from the socket\001x");
	assert_rx(fix, "from the socket\001x");
	assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	close_stdio(fix);
	close(fds[0]);
	close(fds[1]);
}

static void test_output_to_file(void **state)
{
	struct char_fixture *fix = *state;
	char path[] = "/tmp/bantam-test-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	char text[32] = "";

	unlink(path);
	say(fd, "head ");
	open_stdio(fix, -1, fd);
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"body", 4), 4);
	close_stdio(fix);
	say(fd, " tail");
	assert_int_equal(pread(fd, text, sizeof(text), 0), 14);
	assert_string_equal(text, "head body tail");
	close(fd);
}

/* Fills everything there is between the front end and a reader that has stopped. */
static size_t fill(struct char_fixture *fix, uint8_t start)
{
	uint8_t piece[1000];
	size_t total = 0, n;

	do {
		for (size_t i = 0; i < sizeof(piece); i++)
			piece[i] = (uint8_t)(start + total + i);
		n = chardev_write(fix->dev, piece, sizeof(piece));
		total += n;
		assert_true(total < 4 * MEGABYTE); /* bounded */
	} while (n == sizeof(piece));
	return total;
}

static void check_stopped_reader(struct char_fixture *fix, int reader)
{
	const uint8_t one = 0xee, again[] = "again";
	size_t total = fill(fix, 0);
	uint8_t *got = malloc(total + 5);

	assert_true(total >= CHARDEV_TX_BUFFER);
	assert_int_equal(chardev_write(fix->dev, &one, 1), 0);
	fake_clock_advance(&fix->clock, CHARDEV_STALL_NS - 2);
	assert_int_equal(fix->tx_ready, 0);
	assert_int_equal(chardev_write(fix->dev, &one, 1), 0);
	fake_clock_advance(&fix->clock, 2);
	assert_int_equal(fix->tx_ready, 1);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(chardev_write(fix->dev, &one, 1), 1);
	char_fixture_settle(fix);
	/* It reads again: what was buffered is whole, and after it comes what is new. */
	char_fixture_drain(fix, reader, got, total, 5000);
	char_fixture_settle(fix);
	assert_int_equal(chardev_write(fix->dev, again, 5), 5);
	char_fixture_drain(fix, reader, got + total, 5, 5);
	for (size_t i = 0; i < total; i++)
		assert_int_equal(got[i], (uint8_t)i);
	assert_memory_equal(got + total, again, 5);
	assert_true(char_fixture_logged(fix, "1000 bytes were dropped"));
	free(got);
}

static void test_stopped_reader(void **state)
{
	struct char_fixture *fix = *state;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	open_stdio(fix, -1, fds[1]);
	check_stopped_reader(fix, fds[0]);
	close_stdio(fix);
	close(fds[0]);
	close(fds[1]);
}

static void test_stopped_terminal(void **state)
{
	struct char_fixture *fix = *state;
	struct tty tty = open_on_tty(fix);

	check_stopped_reader(fix, tty.master);
	close_tty(fix, tty);
}

/* The master of a pty cannot be opened anew: its description is shared, and blocks. */
static void test_stopped_reader_of_shared_description(void **state)
{
	struct char_fixture *fix = *state;
	struct termios modes;
	struct tty tty;

	char_fixture_openpty(&tty.master, &tty.slave);
	get_modes(tty.slave, &modes);
	cfmakeraw(&modes);
	tcsetattr(tty.slave, TCSANOW, &modes);
	alarm(60); /* a write that blocks ends the test */
	open_stdio(fix, -1, tty.master);
	check_stopped_reader(fix, tty.slave);
	assert_int_equal(fcntl(tty.master, F_GETFL) & O_NONBLOCK, 0);
	close_tty(fix, tty);
	alarm(0);
}

/* Slow is not stopped: one page a few seconds. */
static void test_slow_reader_loses_nothing(void **state)
{
	struct char_fixture *fix = *state;
	int fds[2];
	size_t total;
	uint8_t *got;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	open_stdio(fix, -1, fds[1]);
	total = fill(fix, 0);
	got = malloc(total);
	for (size_t done = 0; done < total;) {
		size_t n = MIN(total - done, (size_t)4096);

		char_fixture_drain(fix, fds[0], got + done, n, n);
		char_fixture_settle(fix);
		fake_clock_advance(&fix->clock, CHARDEV_STALL_NS - NSEC_PER_SEC);
		done += n;
	}
	for (size_t i = 0; i < total; i++)
		assert_int_equal(got[i], (uint8_t)i);
	assert_int_equal(fix->tx_ready, 1);
	assert_false(char_fixture_logged(fix, "dropped"));
	free(got);
	close_stdio(fix);
	close(fds[0]);
	close(fds[1]);
}

static void test_reader_leaves(void **state)
{
	struct char_fixture *fix = *state;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	open_stdio(fix, -1, fds[1]);
	fill(fix, 0);
	close(fds[0]);
	char_fixture_settle(fix);
	assert_int_equal(fix->tx_ready, 1);
	assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"x", 1), 1);
	assert_true(char_fixture_logged(fix, "Broken pipe; further output is dropped"));
	close_stdio(fix);
	close(fds[1]);
}

static void test_full_device(void **state)
{
	struct char_fixture *fix = *state;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	open_stdio(fix, -1, fd);
	for (int i = 0; i < 3; i++)
		assert_int_equal(chardev_write(fix->dev, (const uint8_t *)"xy", 2), 2);
	assert_true(char_fixture_logged(fix, "No space left"));
	close_stdio(fix);
	assert_true(char_fixture_logged(fix, "standard output: 6 bytes of output were lost"));
	close(fd);
}

static void test_flush_and_close_are_bounded(void **state)
{
	struct char_fixture *fix = *state;
	struct timespec start, end;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	open_stdio(fix, -1, fds[1]);
	fill(fix, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	chardev_flush(fix->dev);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec <= 2);
	close_stdio(fix);
	close(fds[0]);
	close(fds[1]);
}

static void test_size(void **state)
{
	struct char_fixture *fix = *state;
	struct winsize size = {.ws_col = 132, .ws_row = 43};
	uint16_t cols, rows;
	struct tty tty = open_on_tty(fix);
	int fds[2];

	assert_false(chardev_size(fix->dev, &cols, &rows));
	ioctl(tty.master, TIOCSWINSZ, &size);
	char_stdio_resized(fix->dev);
	assert_int_equal(fix->resizes, 1);
	assert_true(chardev_size(fix->dev, &cols, &rows));
	assert_int_equal(cols, 132);
	assert_int_equal(rows, 43);
	close_tty(fix, tty);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	open_stdio(fix, fds[0], fds[1]);
	assert_false(chardev_size(fix->dev, &cols, &rows));
	assert_true(chardev_connected(fix->dev));
	close_stdio(fix);
	close(fds[0]);
	close(fds[1]);
	char_stdio_suspend(NULL);
	char_stdio_resume(NULL);
	char_stdio_resized(NULL);
}

/* ---- threads ---- */

struct writer {
	struct char_fixture *fix;
	uint8_t id;
};

enum { WRITERS = 3, LINES = 4000 };

static void *write_lines(void *opaque)
{
	struct writer *writer = opaque;
	uint8_t line[8];

	for (unsigned int i = 0; i < LINES; i++) {
		memset(line, writer->id, sizeof(line));
		line[0] = (uint8_t)('0' + i % 10);
		while (chardev_write(writer->fix->dev, line, sizeof(line)) != sizeof(line))
			fail_msg("256 KB are read fast enough");
	}
	return NULL;
}

/* Calls of several vCPUs never mix inside one call; each thread's order is kept. */
static void test_writers(void **state)
{
	struct char_fixture *fix = *state;
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	const size_t total = WRITERS * LINES * 8;
	unsigned int seen[WRITERS] = {0};
	uint8_t *got = malloc(total);
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, MEGABYTE) >= 0);
	open_stdio(fix, -1, fds[1]);
	for (unsigned int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.fix = fix, .id = (uint8_t)('a' + i)};
		pthread_create(&threads[i], NULL, write_lines, &writers[i]);
	}
	char_fixture_drain(fix, fds[0], got, total, 4096);
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	for (size_t at = 0; at < total; at += 8) {
		unsigned int id = got[at + 1] - 'a';

		assert_true(id < WRITERS);
		assert_int_equal(got[at], '0' + seen[id]++ % 10);
		for (size_t i = 2; i < 8; i++)
			assert_int_equal(got[at + i], got[at + 1]);
	}
	free(got);
	close_stdio(fix);
	close(fds[0]);
	close(fds[1]);
}

struct detach_race {
	struct char_fixture *fix;
	_Atomic bool attached, stop;
	_Atomic unsigned int calls;
};

static size_t race_room(void *opaque)
{
	struct detach_race *race = opaque;

	if (!atomic_load(&race->attached))
		abort();
	return 16;
}

static void race_rx(void *opaque, const uint8_t *buf, size_t len)
{
	struct detach_race *race = opaque;

	(void)buf;
	(void)len;
	sched_yield();
	if (!atomic_load(&race->attached))
		abort();
	atomic_fetch_add(&race->calls, 1);
}

static void *run_loop(void *opaque)
{
	struct detach_race *race = opaque;

	while (!atomic_load(&race->stop))
		event_loop_step(race->fix->loop, 1);
	return NULL;
}

/* After detaching, no callback runs: shown by a flag that falls right after. */
static void test_detach_waits(void **state)
{
	static const struct chardev_handler handler = {.rx_room = race_room, .rx = race_rx};
	struct char_fixture *fix = *state;
	struct detach_race race = {.fix = fix};
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	pthread_t thread;

	open_stdio(fix, zero, -1); /* input without end */
	chardev_attach(fix->dev, NULL, NULL);
	pthread_create(&thread, NULL, run_loop, &race);
	for (int i = 0; i < 300 || atomic_load(&race.calls) < 1000; i++) {
		atomic_store(&race.attached, true);
		chardev_attach(fix->dev, &handler, &race);
		chardev_rx_kick(fix->dev);
		usleep(100);
		chardev_attach(fix->dev, NULL, NULL);
		atomic_store(&race.attached, false);
	}
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	close_stdio(fix);
	close(zero);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_raw_and_back),
		TEST(test_modes_changed_while_suspended),
		TEST(test_suspended_reads_nothing),
		TEST(test_log_lines),
		TEST(test_guard),
		TEST(test_guard_respects_shell),
		TEST(test_background),
		TEST(test_last_line),
		TEST(test_terminal_is_transparent),
		TEST(test_commands),
		TEST(test_break_keeps_its_place),
		TEST(test_paste),
		TEST(test_paste_megabyte),
		TEST(test_paste_into_slow_guest),
		TEST(test_quit_dead_guest),
		TEST(test_quit_behind_paste),
		TEST(test_suspend_from_command),
		TEST(test_reattach_keeps_input),
		TEST(test_terminal_hangs_up),
		TEST(test_pipe_is_transparent),
		TEST(test_pipe_waits),
		TEST(test_file_as_input),
		TEST(test_nothing_as_input),
		TEST(test_output_megabyte),
		TEST(test_output_to_file),
		TEST(test_stopped_reader),
		TEST(test_stopped_terminal),
		TEST(test_stopped_reader_of_shared_description),
		TEST(test_slow_reader_loses_nothing),
		TEST(test_reader_leaves),
		TEST(test_full_device),
		TEST(test_flush_and_close_are_bounded),
		TEST(test_size),
		TEST(test_writers),
		TEST(test_detach_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
