/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order, each step for the sake of those that follow:
 *
 *	namespaces	need a process with one thread
 *	root		needs the rights that a new user namespace gives
 *	user		needs root's rights, which it gives up
 *	rights		all others go; no new ones come, which Landlock and seccomp ask for
 *	Landlock	binds the calling thread and those that it starts: so before there are any
 *	seccomp		last, as all that went before would be denied
 *
 * Everything is open by then, and the first machine is built: its kernel was read from the cache
 * or unpacked, with files and libraries that nobody can open later. A reboot reads the same
 * descriptors (loader/unpack).
 *
 * A layer that is missing is said once, or with strict is the end of it.
 */
#include "vm/sandbox/sandbox.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock.h"
#include "layers.h"
#include "vm/core/error.h"
#include "vm/core/log.h"
#include "vm/core/thread_id.h"

static const char *const layer_names[NUM_SANDBOX_LAYERS] = {
	[SANDBOX_NAMESPACES] = "namespaces",
	[SANDBOX_NETWORK] = "network namespace",
	[SANDBOX_ROOT] = "empty file system",
	[SANDBOX_USER] = "user",
	[SANDBOX_RIGHTS] = "no rights",
	[SANDBOX_LANDLOCK] = "Landlock",
	[SANDBOX_SECCOMP] = "seccomp",
};

/* "This host gives no ..." */
static const char *missing_name(enum sandbox_layer layer)
{
	switch (layer) {
	case SANDBOX_USER:
		return "user other than root";
	case SANDBOX_RIGHTS:
		return "way to give up all rights";
	default:
		return layer_names[layer];
	}
}

const char *sandbox_layer_name(enum sandbox_layer layer)
{
	return layer_names[layer];
}

int layer_result(struct sandbox *sandbox, enum sandbox_layer layer, int rc)
{
	sandbox->results[layer] = (struct sandbox_result){.there = rc >= 0, .error = MIN(rc, 0)};
	return rc;
}

void layer_say(struct sandbox *sandbox, enum sandbox_layer layer, const char *fmt, ...)
{
	struct sandbox_result *result = &sandbox->results[layer];
	va_list args;

	va_start(args, fmt);
	vsnprintf(result->text, sizeof(result->text), fmt, args);
	va_end(args);
}

/* ---- threads ---- */

static bool narrows(const struct sandbox *sandbox)
{
	return sandbox->entered || sandbox->config.mode == SANDBOX_LOG;
}

static void enter_class(void *opaque, enum confine_class what)
{
	const struct sandbox *sandbox = opaque;
	int rc;

	if (what == CONFINE_NET && sandbox->config.user_net)
		what = CONFINE_NET_USER;
	/* A process of its own comes from before: it has no privileges to lose yet. */
	if (what == CONFINE_GUARD && sandbox->config.mode < SANDBOX_LOG)
		sandbox_call(sandbox->sys, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	else if (!narrows(sandbox))
		return;
	rc = filter_load(sandbox->sys, what, &sandbox->values);
	/* It has the process's. */
	if (rc < 0 && what != CONFINE_GUARD)
		log_msg(sandbox->config.log, LOG_WARN, "sandbox: a %s thread without a filter: %s",
			confine_class_name(what), strerror(-rc));
}

/* ---- life ---- */

static void enter_share(void *opaque, enum confine_class what)
{
	const struct sandbox_share *share = opaque;

	if (share->rules >= 0)
		landlock_restrict(share->sandbox->sys, share->rules);
	enter_class(share->sandbox, what);
}

int sandbox_create(const struct sandbox_config *config, struct sandbox **ret, struct error *err)
{
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
	int rc;

	if (!sandbox)
		return error_set_errno(err, -ENOMEM, "the sandbox");
	sandbox->config = *config;
	sandbox->sys = config->sys ? config->sys : &sandbox_sys_host;
	sandbox->confine = (struct confine){.enter = enter_class, .opaque = sandbox};
	sandbox->values = (struct filter_values){.run_fd = -1, .tasks_fd = -1};
	sandbox->values.log = config->mode == SANDBOX_LOG;
	sandbox->become_uid = (uid_t)-1;
	/* As the process was started, without asking the kernel again. */
	sandbox->uid = (uid_t)getauxval(AT_EUID);
	sandbox->root = sandbox->uid == 0;
	rc = user_look_up(sandbox, err);
	if (rc < 0) {
		free(sandbox);
		return rc;
	}
	*ret = sandbox;
	return 0;
}

void sandbox_destroy(struct sandbox *sandbox)
{
	if (!sandbox)
		return;
	if (sandbox->values.run_fd >= 0)
		close(sandbox->values.run_fd);
	if (sandbox->values.tasks_fd >= 0)
		close(sandbox->values.tasks_fd);
	for (unsigned int i = 0; i < sandbox->num_shares; i++)
		if (sandbox->shares[i].rules >= 0)
			close(sandbox->shares[i].rules);
	free(sandbox);
}

const struct confine *sandbox_confine(struct sandbox *sandbox)
{
	return &sandbox->confine;
}

void sandbox_set_run_dir(struct sandbox *sandbox, const char *path)
{
	sandbox->run_dir = path;
}

void sandbox_add_readable(struct sandbox *sandbox, const char *path)
{
	if (sandbox->num_readable < SANDBOX_MAX_READABLE)
		sandbox->readable[sandbox->num_readable++] = path;
}

const struct confine *sandbox_add_share(struct sandbox *sandbox, int fd, bool read_only)
{
	struct sandbox_share *share = &sandbox->shares[sandbox->num_shares++];

	*share = (struct sandbox_share){.sandbox = sandbox,
		.confine = {.enter = enter_share, .opaque = share},
		.fd = fd,
		.read_only = read_only,
		.rules = -1};
	return &share->confine;
}

/* ---- entering ---- */

static struct landlock_grant share_grant(const struct sandbox_share *share)
{
	return (struct landlock_grant){
		share->fd, share->read_only ? LANDLOCK_SERVE_READ : LANDLOCK_SERVE};
}

/* Each thread is left its own directory. Without Landlock there are no rules. */
static void make_share_rules(struct sandbox *sandbox)
{
	for (unsigned int i = 0; i < sandbox->num_shares; i++) {
		struct sandbox_share *share = &sandbox->shares[i];
		const struct landlock_grant grant = share_grant(share);

		share->rules = MAX(landlock_rules(sandbox->sys, &grant, 1), -1);
	}
}

static void enter_landlock(struct sandbox *sandbox)
{
	struct landlock_grant grants[SANDBOX_MAX_READABLE + SANDBOX_MAX_SHARES + 2] = {
		{sandbox->values.run_fd, LANDLOCK_REMOVE},
		{sandbox->values.tasks_fd, LANDLOCK_READ}};
	unsigned int num = 2;
	int abi;

	for (unsigned int i = 0; i < sandbox->num_readable; i++)
		grants[num++] = (struct landlock_grant){sandbox->readable_fd[i], LANDLOCK_READ};
	for (unsigned int i = 0; i < sandbox->num_shares; i++)
		grants[num++] = share_grant(&sandbox->shares[i]);
	make_share_rules(sandbox);
	abi = landlock_enter(sandbox->sys, grants, num, sandbox->config.user_net);
	for (unsigned int i = 0; i < sandbox->num_readable; i++)
		if (sandbox->readable_fd[i] >= 0)
			sandbox_call(
				sandbox->sys, SYS_close, (unsigned long)sandbox->readable_fd[i]);
	if (layer_result(sandbox, SANDBOX_LANDLOCK, abi) > 0)
		layer_say(sandbox, SANDBOX_LANDLOCK, "ABI %d%s", abi, abi == 6 ? " or later" : "");
}

/*
 * Nothing keeps a descriptor of a host's directory from leading to all of its file system: without
 * either layer there is none, and the filter lets nothing through that wants one.
 */
static void drop_open_directories(struct sandbox *sandbox)
{
	int *const fds[] = {&sandbox->values.run_fd, &sandbox->values.tasks_fd};

	if (sandbox->results[SANDBOX_ROOT].there || sandbox->results[SANDBOX_LANDLOCK].there)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			sandbox_call(sandbox->sys, SYS_close, (unsigned long)*fds[i]);
		*fds[i] = -1;
	}
}

static int enter_seccomp(struct sandbox *sandbox, enum confine_class what, struct error *err)
{
	int rc = denial_setup(sandbox->sys, err);

	if (rc < 0)
		return rc;
	rc = filter_load(sandbox->sys, what, &sandbox->values);
	layer_result(sandbox, SANDBOX_SECCOMP, rc);
	return 0;
}

/* A filter and nothing else. */
static int enter_filter(struct sandbox *sandbox, enum confine_class what, struct error *err)
{
	long rc = sandbox_call(sandbox->sys, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);

	return rc < 0 ? (int)rc : enter_seccomp(sandbox, what, err);
}

static const struct sandbox_result *first_missing(
	const struct sandbox *sandbox, enum sandbox_layer *layer)
{
	for (*layer = 0; *layer < NUM_SANDBOX_LAYERS; (*layer)++)
		if (!sandbox->results[*layer].there && !sandbox->results[*layer].unwanted)
			return &sandbox->results[*layer];
	return NULL;
}

static void describe(const struct sandbox *sandbox)
{
	for (enum sandbox_layer i = 0; i < NUM_SANDBOX_LAYERS; i++) {
		const struct sandbox_result *result = &sandbox->results[i];

		log_msg(sandbox->config.log, LOG_DEBUG, "sandbox: %s: %s%s%s", layer_names[i],
			result->there || result->unwanted ? "" : "missing: ",
			result->error ? strerror(-result->error) : "",
			*result->text	? result->text
			: result->there ? "yes"
					: "");
	}
}

static int judge(struct sandbox *sandbox, struct error *err)
{
	enum sandbox_layer layer;
	const struct sandbox_result *missing = first_missing(sandbox, &layer);

	/* The log is not this process's. */
	if (!sandbox->helper)
		describe(sandbox);
	if (!missing)
		return 0;
	if (sandbox->config.mode == SANDBOX_STRICT)
		return error_set_errno(err, missing->error,
			"--sandbox strict: this host gives no %s; `bantam doctor` says more",
			missing_name(layer));
	if (sandbox->helper)
		return 0;
	log_msg(sandbox->config.log, LOG_INFO,
		"the sandbox has no %s on this host (%s); `bantam doctor` says more",
		missing_name(layer), strerror(-missing->error));
	return 0;
}

static int enter_layers(struct sandbox *sandbox, enum confine_class what, struct error *err)
{
	int rc;

	namespaces_enter(sandbox);
	root_enter(sandbox);
	rc = user_enter(sandbox, err);
	if (rc < 0)
		return rc;
	rights_drop(sandbox);
	enter_landlock(sandbox);
	drop_open_directories(sandbox);
	rc = enter_seccomp(sandbox, what, err);
	sandbox->entered = true;
	return rc < 0 ? rc : judge(sandbox, err);
}

int sandbox_enter(struct sandbox *sandbox, struct error *err)
{
	static const enum confine_class classes[2][2] = {
		{CONFINE_MAIN, CONFINE_MAIN_FS}, {CONFINE_MAIN_USER, CONFINE_MAIN_USER_FS}};
	const enum confine_class what = classes[sandbox->config.user_net][sandbox->config.shares];

	if (sandbox->config.mode == SANDBOX_OFF)
		return 0;
	sandbox->values.pid = thread_id(pthread_self());
	if (sandbox->config.mode != SANDBOX_LOG)
		return enter_layers(sandbox, what, err);
	log_msg(sandbox->config.log, LOG_DEBUG,
		"sandbox: nothing is denied; the kernel's log has what would be");
	return enter_filter(sandbox, what, err);
}

/* ---- other processes ---- */

/* All signals are blocked in them. A denial that is could not be told. */
static void hear_denials(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int enter_keeper(struct sandbox *sandbox, struct error *err)
{
	if (sandbox->config.mode == SANDBOX_OFF)
		return 0;
	hear_denials();
	return enter_filter(sandbox, CONFINE_KEEPER, err);
}

static int enter_net_helper(struct sandbox *sandbox, struct error *err)
{
	const enum confine_class what = CONFINE_NET_HELPER;

	if (sandbox->config.mode == SANDBOX_OFF)
		return 0;
	sandbox->helper = true;
	sandbox->config.user_net = true;
	sandbox->run_dir = NULL;
	sandbox->num_readable = 0;
	sandbox->values.pid = thread_id(pthread_self());
	if (sandbox->config.mode == SANDBOX_LOG)
		return enter_filter(sandbox, what, err);
	/* The files of a process that is not are root's, and a user namespace needs one of them. */
	sandbox_call(sandbox->sys, SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	return enter_layers(sandbox, what, err);
}

static int enter_role(void *opaque, enum helper_role role, struct error *err)
{
	return role == HELPER_KEEPER ? enter_keeper(opaque, err) : enter_net_helper(opaque, err);
}

struct helper_confine sandbox_net_helper(struct sandbox *sandbox)
{
	return (struct helper_confine){.enter = enter_role, .opaque = sandbox};
}

/* ---- afterwards ---- */

bool sandbox_is_entered(const struct sandbox *sandbox)
{
	return sandbox->entered;
}

bool sandbox_has_network(const struct sandbox *sandbox)
{
	return !sandbox->entered || sandbox->config.user_net;
}

int sandbox_run_fd(const struct sandbox *sandbox)
{
	return sandbox->values.run_fd;
}

int sandbox_tasks_fd(const struct sandbox *sandbox)
{
	return sandbox->values.tasks_fd;
}

const struct sandbox_result *sandbox_results(const struct sandbox *sandbox)
{
	return sandbox->results;
}
