/* SPDX-License-Identifier: BSD-2-Clause */
/* The command engine: jobs that end at once, later, by an event, by their timer, or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakes/fake_clock.h"
#include "vm/control/control.h"

/* What a front end was told, as text. */
struct told {
	char text[512];
	unsigned int dones;
	int code;
};

static void add(struct told *told, const char *key, const char *between, const char *value,
	const char *after)
{
	size_t len = strlen(told->text);

	snprintf(told->text + len, sizeof(told->text) - len, "%s%s%s%s", key ? key : "-", between,
		value, after);
}

static void put_flag(void *o, const char *key, bool value)
{
	add(o, key, "=", value ? "yes" : "no", " ");
}

static void put_number(void *o, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add(o, key, "=", text, " ");
}

static void put_real(void *o, const char *key, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", value);
	add(o, key, "=", text, " ");
}

static void put_text(void *o, const char *key, const char *value)
{
	add(o, key, "='", value, "' ");
}

static void open_value(void *o, const char *key, bool list)
{
	add(o, key, list ? "[" : "{", " ", "");
}

static void close_value(void *o)
{
	add(o, "", "", "} ", "");
}

static void emit(void *o)
{
	add(o, "", "emit", " ", "");
}

static void done(void *o, int code, const char *text)
{
	struct told *told = o;

	told->dones++;
	told->code = code;
	add(told, "done", "(", text, ")");
}

static const struct control_sink sink = {
	put_flag, put_number, put_real, put_text, open_value, close_value, emit, done};

/* ---- commands ---- */

struct fixture {
	struct fake_clock clock;
	struct control *control;
	unsigned int cancelled;
	struct control_job *kept;
	struct control_job *victim; /* cancelled by the next event */
};

static void start_now(struct control_job *job, void *vm)
{
	(void)vm;
	control_put_number(job, "number", job->args[0].number);
	control_open_list(job, "list");
	control_put_text(job, NULL, job->args[1].given ? job->args[1].text : "none");
	control_close(job);
	control_done(job);
}

static void start_fail(struct control_job *job, void *vm)
{
	(void)vm;
	control_fail(job, -EBUSY, "%s is busy", "it");
}

static void start_keep(struct control_job *job, void *vm)
{
	((struct fixture *)vm)->kept = job;
}

static void on_event(struct control_job *job, void *vm, const struct control_event *event)
{
	struct fixture *f = vm;

	if (f->victim) {
		struct control_job *victim = f->victim;

		f->victim = NULL;
		control_cancel(victim);
	}
	control_put_event(job, event);
	if (event->kind == CONTROL_ENDED)
		control_done(job);
	else
		control_emit(job);
}

static void on_cancel(struct control_job *job, void *vm)
{
	(void)job;
	((struct fixture *)vm)->cancelled++;
}

static void on_timer(void *job)
{
	control_fail(job, -ETIMEDOUT, "too late");
}

static void start_timed(struct control_job *job, void *vm)
{
	(void)vm;
	control_after(job, 1000, on_timer);
}

static const struct control_field now_fields[] = {
	{"number", CONTROL_NUMBER, true}, {"text", CONTROL_TEXT, false}};
static const struct control_field fd_fields[] = {{"fd", CONTROL_FD, true}};

static const struct control_command commands[] = {
	{.name = "now", .fields = now_fields, .num_fields = 2, .start = start_now},
	{.name = "fail", .start = start_fail},
	{.name = "keep", .start = start_keep, .event = on_event, .cancel = on_cancel},
	{.name = "timed", .start = start_timed},
	{.name = "fd", .fields = fd_fields, .num_fields = 1, .start = start_fail},
};

static struct fixture *set_up(struct fixture *f)
{
	struct control_config config = {
		.commands = commands, .num_commands = ARRAY_SIZE(commands), .vm = f};

	*f = (struct fixture){0};
	fake_clock_init(&f->clock);
	config.clock = &f->clock.clock;
	assert_int_equal(control_create(&config, &f->control), 0);
	return f;
}

static void tear_down(struct fixture *f)
{
	control_destroy(f->control);
}

static struct control_job *submit(
	struct fixture *f, const char *name, struct control_value *args, struct told *told)
{
	struct control_value none[CONTROL_MAX_FIELDS] = {0};

	*told = (struct told){.code = 1};
	for (unsigned int i = 0; i < ARRAY_SIZE(none); i++)
		none[i].fd = -1;
	return control_submit(
		f->control, control_find(f->control, name), args ? args : none, &sink, told);
}

/* ---- tests ---- */

static void at_once(void **state)
{
	struct control_value args[2] = {
		{.given = true, .number = 7, .fd = -1}, {.given = true, .text = "x", .fd = -1}};
	struct fixture f;
	struct told told;

	(void)state;
	set_up(&f);
	assert_null(submit(&f, "now", args, &told));
	assert_string_equal(told.text, "number=7 list[ -='x' } done()");
	assert_int_equal(told.code, 0);
	assert_null(submit(&f, "fail", NULL, &told));
	assert_string_equal(told.text, "done(it is busy)");
	assert_int_equal(told.code, -EBUSY);
	assert_null(control_find(f.control, "nothing"));
	tear_down(&f);
}

static void by_events(void **state)
{
	const struct control_event panic = {.kind = CONTROL_PANIC, .cause = "why"};
	const struct control_event ended = {.kind = CONTROL_ENDED, .status = 4};
	struct fixture f;
	struct told a, b;

	(void)state;
	set_up(&f);
	assert_non_null(submit(&f, "keep", NULL, &a));
	control_happened(f.control, panic);
	assert_non_null(submit(&f, "keep", NULL, &b));
	control_happened(f.control, ended);
	assert_non_null(strstr(a.text, "event='panic'"));
	assert_non_null(strstr(a.text, "cause='why' emit"));
	assert_non_null(strstr(a.text, "event='ended'"));
	assert_non_null(strstr(a.text, "status=4 done()"));
	assert_null(strstr(b.text, "panic"));
	assert_int_equal(a.dones, 1);
	assert_int_equal(b.dones, 1);
	/* Nobody is left to be told. */
	control_happened(f.control, ended);
	assert_int_equal(a.dones, 1);
	assert_int_equal(f.cancelled, 0);
	tear_down(&f);
}

/* The list is gone over while a job in it goes away, before or behind the one that has its turn. */
static void cancelled_meanwhile(void **state)
{
	const struct control_event panic = {.kind = CONTROL_PANIC};

	(void)state;
	for (unsigned int victim = 0; victim < 3; victim++) {
		struct control_job *jobs[3];
		struct told told[3];
		struct fixture f;

		set_up(&f);
		for (unsigned int i = 0; i < 3; i++)
			jobs[i] = submit(&f, "keep", NULL, &told[i]);
		if (victim) {
			f.victim = jobs[victim];
			control_happened(f.control, panic);
			assert_null(strstr(told[victim].text, "panic"));
			assert_non_null(strstr(told[3 - victim].text, "panic"));
		} else {
			control_cancel(jobs[0]);
		}
		assert_int_equal(f.cancelled, 1);
		assert_int_equal(told[victim].dones, 0);
		tear_down(&f);
		/* Those that were left are told that there is no more. */
		for (unsigned int i = 0; i < 3; i++)
			assert_int_equal(told[i].dones, i != victim);
	}
}

static void by_timer(void **state)
{
	struct control_job *job;
	struct fixture f;
	struct told told;

	(void)state;
	set_up(&f);
	submit(&f, "timed", NULL, &told);
	fake_clock_advance(&f.clock, 999);
	assert_int_equal(told.dones, 0);
	fake_clock_advance(&f.clock, 1);
	assert_int_equal(told.code, -ETIMEDOUT);
	/* A job that is gone has no timer. */
	job = submit(&f, "timed", NULL, &told);
	control_cancel(job);
	fake_clock_advance(&f.clock, 5000);
	assert_int_equal(told.dones, 0);
	tear_down(&f);
}

static void descriptors_are_closed(void **state)
{
	struct control_value arg = {.given = true};
	struct fixture f;
	struct told told;

	(void)state;
	set_up(&f);
	arg.fd = open("/dev/null", O_RDONLY);
	submit(&f, "fd", &arg, &told);
	assert_int_equal(fcntl(arg.fd, F_GETFD), -1);
	tear_down(&f);
}

static void count_event(void *opaque, const struct control_event *event)
{
	*(unsigned int *)opaque += event->kind == CONTROL_REBOOT && event->realtime_ns;
}

static void a_listener(void **state)
{
	const struct control_event reboot = {.kind = CONTROL_REBOOT};
	unsigned int count = 0;
	struct fixture f;

	(void)state;
	set_up(&f);
	fake_clock_advance(&f.clock, 1);
	control_listen(f.control, count_event, &count);
	control_happened(f.control, reboot);
	assert_int_equal(count, 1);
	control_listen(f.control, NULL, NULL);
	control_happened(f.control, reboot);
	assert_int_equal(count, 1);
	control_happened(NULL, reboot);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_once),
		cmocka_unit_test(by_events),
		cmocka_unit_test(cancelled_meanwhile),
		cmocka_unit_test(by_timer),
		cmocka_unit_test(descriptors_are_closed),
		cmocka_unit_test(a_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
