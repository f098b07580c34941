/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest starts from: a kernel and initial RAM disks, each a file of its own, or a FIT
 * image that has them and words for the command line too. The user's own initial RAM disks go
 * behind the FIT's, and his words behind its words.
 *
 * Files stay open, so that a reboot finds the same ones. A FIT image is read and checked as a whole
 * for each boot, and not kept: the guest has its kernel in its own memory then.
 */
#include "vm_private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/fit/fit.h"
#include "loader/linux_version.h"
#include "vm/config/cmdline.h"
#include "vm/config/cmdline_words.h"
#include "vm/config/kernel_find.h"
#include "vm/core/error.h"
#include "vm/core/log.h"

enum { CMDLINE_SIZE = 65536 };

/* Takes reboot=panic_warm; what is older takes it for reboot=p, another way to reboot. */
#define LINUX_WITH_PANIC_MODE LINUX_VERSION(5, 2)

/* NULL: *rc is the negative errno. */
static const char *kernel_path(struct vm *vm, int *rc, struct error *err)
{
	const struct config *config = vm->config;

	if (config->flat)
		return config->flat;
	if (config->kernel)
		return config->kernel;
	vm->found = malloc(sizeof(*vm->found));
	if (!vm->found) {
		*rc = error_set_errno(err, -ENOMEM, "looking for a kernel");
		return NULL;
	}
	*rc = kernel_find("/boot", vm->found, err);
	if (*rc < 0)
		return NULL;
	log_msg(vm->log, LOG_INFO, "no kernel given, booting %s", vm->found->path);
	if (vm->found->newer[0])
		log_msg(vm->log, LOG_WARN, "%s is newer, but cannot be read", vm->found->newer);
	return vm->found->path;
}

/* ---- FIT images ---- */

/*
 * FILE#NAME names a configuration, unless there is a file that is called so. *path is then the
 * file's alone.
 */
static int split_config(struct vm *vm, const char **path, struct error *err)
{
	const char *hash = strrchr(*path, '#');

	if (vm->config->flat || !hash || hash == *path || !hash[1] || !access(*path, F_OK))
		return 0;
	if (vm->config->fit_config)
		return error_set(err, -EINVAL, "--fit-config %s: '%s' names another configuration",
			vm->config->fit_config, *path);
	vm->fit_path = strndup(*path, (size_t)(hash - *path));
	vm->fit_config = strdup(hash + 1);
	if (!vm->fit_path || !vm->fit_config)
		return error_set_errno(err, -ENOMEM, "%s", *path);
	*path = vm->fit_path;
	return 0;
}

static const char *wanted_config(const struct vm *vm)
{
	return vm->fit_config ? vm->fit_config : vm->config->fit_config;
}

int vm_images_load(struct vm *vm, struct error *err)
{
	const struct fit_boot *boot;
	int rc;

	if (!vm->fit_config || vm->fit)
		return 0;
	rc = fit_open(&vm->file, vm->fit_config, &vm->fit, err);
	if (rc < 0)
		return rc;
	boot = fit_boot(vm->fit);
	vm->kernel = boot->kernel;
	if (boot->ramdisk.size)
		vm->initrds[0] = boot->ramdisk;
	return 0;
}

void vm_images_drop(struct vm *vm)
{
	if (vm->file_open)
		image_forget(&vm->file);
	for (unsigned int i = 0; i < vm->num_initrds; i++)
		image_forget(&vm->initrds[i]);
	if (!vm->fit)
		return;
	if (fit_boot(vm->fit)->ramdisk.size)
		image_close(&vm->initrds[0]);
	image_close(&vm->kernel);
	fit_close(vm->fit);
	vm->fit = NULL;
}

/* The first time: what is found now holds for later boots, too. */
static int open_fit(struct vm *vm, struct error *err)
{
	const struct fit_boot *boot;
	int rc = fit_open(&vm->file, wanted_config(vm), &vm->fit, err);

	if (rc < 0)
		return rc;
	boot = fit_boot(vm->fit);
	if (!vm->fit_config)
		vm->fit_config = strdup(boot->config);
	if (!vm->fit_config)
		return error_set_errno(err, -ENOMEM, "%s", vm->file.name);
	if (boot->unhashed)
		log_limited(vm->log, &vm->limit, LOG_WARN,
			"%s: image '%s' has no hash: damage will not be noticed", vm->file.name,
			boot->unhashed);
	vm->kernel = boot->kernel;
	vm->initrds[0] = boot->ramdisk;
	vm->num_initrds = boot->ramdisk.size > 0;
	return 0;
}

/* ---- opening ---- */

static int open_kernel(struct vm *vm, const char **path, struct error *err)
{
	int rc = 0;

	*path = kernel_path(vm, &rc, err);
	if (*path)
		rc = split_config(vm, path, err);
	if (!rc)
		rc = image_open(*path, &vm->file, err);
	if (rc < 0)
		return rc;
	vm->file_open = true;
	if (!vm->config->flat && fit_detect(&vm->file))
		return open_fit(vm, err);
	if (wanted_config(vm))
		return image_error(&vm->file, err, -EINVAL,
			"not a FIT image, so it has no configuration '%s'", wanted_config(vm));
	vm->kernel = vm->file;
	return 0;
}

static int compose_cmdline(struct vm *vm, struct error *err)
{
	const struct config *config = vm->config;
	const unsigned int version = config->flat ? 0 : linux_version(&vm->kernel);
	const struct cmdline_defaults defaults = {
		.enabled = config->default_cmdline,
		.serial1 = config->serial[0].kind != SERIAL_NONE,
		.serial2 = config->serial[1].kind != SERIAL_NONE,
		.hvc0 = config->console == CONSOLE_VIRTIO,
		.disk = config->num_disks > 0,
		.read_only = config->disks[0].read_only,
		.no_panic_mark = version && version < LINUX_WITH_PANIC_MODE,
	};
	const char *words = vm->fit ? fit_boot(vm->fit)->cmdline : "";
	char *own;

	vm->cmdline = malloc(CMDLINE_SIZE);
	if (!vm->cmdline || asprintf(&own, "%s%s%s", words, *words ? " " : "", config->cmdline) < 0)
		return error_set_errno(err, -ENOMEM, "command line");
	vm->own_cmdline = own;
	return cmdline_compose(own, &defaults, vm->cmdline, CMDLINE_SIZE, err);
}

/* Firecracker's usual words, say: the guest would not find its root, and not say why. */
static void warn_of_words(const struct vm *vm)
{
	const struct config *config = vm->config;
	const struct cmdline_hidden *hidden = cmdline_hides(vm->cmdline, config->transport);

	if (hidden && !config->flat &&
		(config->num_disks || config->num_nets || config->num_shares || config->num_ports ||
			config->rng || config->balloon || config->console == CONSOLE_VIRTIO))
		log_msg(vm->log, LOG_WARN,
			"%s on the kernel command line hides the guest's virtio devices (disks, "
			"networks...): %s",
			hidden->word, hidden->way);
}

static int open_initrd(struct vm *vm, const char *path, struct error *err)
{
	int rc = image_open(path, &vm->initrds[vm->num_initrds], err);

	vm->num_initrds += !rc;
	return rc;
}

/*
 * A distribution's kernel finds no disk without its initial RAM disk: the drivers are in there. So
 * who gives a disk and no initrd gets the one beside the kernel.
 */
static int open_default_initrd(struct vm *vm, const char *kernel, struct error *err)
{
	const struct config *config = vm->config;
	char path[PATH_MAX];

	if (config->num_initrds || !config->num_disks || config->flat || vm->fit ||
		cmdline_has_key(vm->cmdline, "noinitrd") || !kernel_find_initrd(kernel, path))
		return 0;
	log_msg(vm->log, LOG_INFO, "no initrd given, using %s (-a noinitrd: none)", path);
	return open_initrd(vm, path, err);
}

int vm_images_open(struct vm *vm, struct error *err)
{
	const char *path = NULL;
	int rc = open_kernel(vm, &path, err);

	if (!rc)
		rc = compose_cmdline(vm, err);
	if (!rc)
		warn_of_words(vm);
	for (unsigned int i = 0; !rc && i < vm->config->num_initrds; i++)
		rc = open_initrd(vm, vm->config->initrds[i], err);
	return rc < 0 ? rc : open_default_initrd(vm, path, err);
}

void vm_images_close(struct vm *vm)
{
	vm_images_drop(vm);
	unpack_forget(&vm->keep);
	for (unsigned int i = 0; i < vm->num_initrds; i++)
		image_close(&vm->initrds[i]);
	if (vm->file_open)
		image_close(&vm->file);
	free(vm->fit_path);
	free(vm->fit_config);
	free(vm->cmdline);
	free(vm->own_cmdline);
	free(vm->found);
}
