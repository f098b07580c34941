/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BANTAM_VM_CONFIG_CONFIG_PRIVATE_H
#define BANTAM_VM_CONFIG_CONFIG_PRIVATE_H

#include "vm/config/config.h"
#include "vm/options/options.h"

/* No address was given: the default depends on the mode, which may come later. */
#define FLAT_GPA_UNSET UINT64_MAX

/* The value as it is; -EINVAL when it is empty. */
int config_set_text(const char **field, enum option_id id, const char *value, struct error *err);
/* The place of the value among the option's choices, or -EINVAL and a line. */
int config_parse_choice(enum option_id id, const char *value, struct error *err);

/* ---- config_smbios.c and config_image.c: setters, as in config.c's table ---- */

int config_set_uuid(struct config *config, const char *value, struct error *err);
int config_set_smbios(struct config *config, const char *value, struct error *err);
int config_set_kernel(struct config *config, const char *value, struct error *err);
int config_set_initrd(struct config *config, const char *value, struct error *err);
int config_set_cmdline(struct config *config, const char *value, struct error *err);
int config_set_no_default_cmdline(struct config *config, const char *value, struct error *err);
int config_set_earlycon(struct config *config, const char *value, struct error *err);
int config_set_boot(struct config *config, const char *value, struct error *err);
int config_set_kaslr(struct config *config, const char *value, struct error *err);
int config_set_no_kernel_cache(struct config *config, const char *value, struct error *err);
int config_set_fit_config(struct config *config, const char *value, struct error *err);
int config_set_dtb(struct config *config, const char *value, struct error *err);
int config_set_flat(struct config *config, const char *value, struct error *err);
int config_set_mode(struct config *config, const char *value, struct error *err);

/* ---- config_share.c: a setter, what is done after all options, and a check ---- */

int config_set_share(struct config *config, const char *value, struct error *err);
void config_name_shares(struct config *config);
int config_check_shares(const struct config *config, struct error *err);

/* ---- config_journal.c and config_gdb.c: setters ---- */

int config_set_events(struct config *config, const char *value, struct error *err);
int config_set_metrics(struct config *config, const char *value, struct error *err);
int config_set_gdb(struct config *config, const char *value, struct error *err);

#endif
