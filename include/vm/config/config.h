/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VM shall be, as plain data. config_parse turns `bantam run`'s arguments into it and opens
 * nothing; config_validate checks what concerns more than one option. Strings belong to the
 * config: they point into argv or into its own storage, freed by config_destroy.
 */
#ifndef BANTAM_VM_CONFIG_CONFIG_H
#define BANTAM_VM_CONFIG_CONFIG_H

#include "devices/block/blk.h"
#include "devices/fs/fs.h"
#include "devices/net/net.h"
#include "loader/entry.h"
#include "loader/loader.h"
#include "loader/smbios/smbios.h"
#include "vm/config/config_limit.h"
#include "vm/core/base.h"
#include "vm/options/options.h"
#include "vm/sandbox/sandbox.h"

struct error;

enum {
	CONFIG_MAX_SERIAL = 4,
	CONFIG_MAX_CPUS = 254,
	CONFIG_MAX_NAME = 64,
	CONFIG_MAX_DISKS = 32,
	CONFIG_MAX_DISK_QUEUES = 8,
	CONFIG_MAX_DISK_SERIAL = 20, /* characters, virtio 1.2, 5.2.6 */
	CONFIG_MAX_DEVICE_ID = 32,
	CONFIG_MAX_NETS = 8,
	CONFIG_MAX_SHARES = 16,
	CONFIG_MAX_TAG = 36, /* bytes, virtio 1.2, 5.11.4 */
	CONFIG_MAX_HOTPLUG_SLOTS = 31,
	CONFIG_DEFAULT_HOTPLUG_SLOTS = 3,
	/* Of figures that repeat (--metrics, stat, top): each costs the VM's main thread some time.
	 */
	CONFIG_MIN_INTERVAL_MS = 100,
	CONFIG_MAX_INTERVAL_S = 86400,
	CONFIG_MAX_NET_QUEUES = NET_TAP_MAX_QUEUES,
	CONFIG_MIN_MTU = 68,			      /* virtio 1.2, 5.1.4.1 */
	CONFIG_MAX_FORWARDS = NET_SLIRP_MAX_FORWARDS, /* for each network */
	CONFIG_MAX_PORTS = 15,
	CONFIG_MAX_PORT_NAME = 63,
};

/* Bytes of guest memory. Linux and its initrd cannot start in less; a flat program can. */
#define CONFIG_MIN_MEMORY_LINUX (16 * MiB)
#define CONFIG_MIN_MEMORY_FLAT	MiB
#define CONFIG_MAX_MEMORY	(2 * TiB)

enum serial_kind { SERIAL_NONE, SERIAL_STDIO, SERIAL_NULL, SERIAL_FILE, SERIAL_PTY, SERIAL_UNIX };

struct serial_config {
	enum serial_kind kind;
	const char *path; /* SERIAL_FILE, SERIAL_UNIX */
};

#define CONFIG_MIN_SNAPSHOT MiB

/* AUTO: qcow2 where the name ends in .qcow2 and the file agrees, raw where it does not end so. */
enum disk_format { DISK_AUTO, DISK_RAW, DISK_QCOW2 };

struct disk_config {
	const char *path;
	enum disk_format format;
	bool backing;  /* a qcow2 image may name what it is based on */
	bool snapshot; /* what is written is thrown away */
	uint64_t size; /* of what is written, at most; 0: no limit */
	bool read_only;
	enum blk_cache cache;
	enum blk_aio aio;
	const char *id;	    /* NULL: one is made up */
	const char *serial; /* NULL for none */
	unsigned int queues;
	bool iothread; /* a thread of its own */
	struct limit_config limit;
	char *copy; /* owned: what path, id and serial point to */
};

enum net_kind { NET_USER, NET_TAP, NET_NONE };

/* AUTO: where the host has it. */
enum net_vhost_mode { NET_VHOST_AUTO, NET_VHOST_ON, NET_VHOST_OFF };

/* NET_NONE does not appear in a config: it takes back what was there. */
struct net_config {
	enum net_kind kind;
	const char *id; /* NULL: one is made up */
	uint8_t mac[6]; /* all 0: not given */
	uint16_t mtu;	/* 0: not given */
	struct limit_config limits[LIMIT_MAX_DIRECTIONS];

	/* NET_USER, see struct net_slirp_config */
	struct net_forward forwards[CONFIG_MAX_FORWARDS];
	unsigned int num_forwards;
	union net_address dns; /* sa_family 0: not given */
	bool in_process;       /* libslirp runs in the VM's own process */
	bool restricted;
	bool host_loopback;

	/* NET_TAP, see struct net_tap_config */
	const char *ifname, *script; /* NULL for none */
	unsigned int queues;	     /* 0: not given */
	enum net_vhost_mode vhost;
	int fds[CONFIG_MAX_NET_QUEUES];
	unsigned int num_fds;

	char *copy; /* owned: what id, ifname and script point to */
};

struct share_config {
	const char *path;
	const char *tag; /* NULL until all options are read: "share" and a number */
	bool read_only;
	enum fs_cache cache;
	enum fs_owner owner;
	bool mounts;
	const char *hide[FS_MAX_HIDE];
	unsigned int num_hide;
	char made_tag[8]; /* what tag points to where none was given */
	char *copy;	  /* owned: what the others point to */
};

enum console_kind { CONSOLE_SERIAL, CONSOLE_VIRTIO };

struct port_config {
	const char *name;
	struct serial_config where;
	char *copy; /* owned: what both point to */
};

enum transport { TRANSPORT_PCI, TRANSPORT_MMIO, TRANSPORT_MMIO_CMDLINE };

enum end_action { END_EXIT, END_RESTART, END_PAUSE };

enum gdb_kind { GDB_ON_NOTHING, GDB_ON_UNIX, GDB_ON_TCP };

struct gdb_where {
	enum gdb_kind kind;
	const char *path;	   /* GDB_ON_UNIX */
	union net_address address; /* GDB_ON_TCP */
	bool is_open;		   /* to other machines */
	bool wait;		   /* the guest does, for a client */
	char *copy;		   /* owned: what path points to */
};

/* The words that --kaslr takes */
enum config_switch { SWITCH_OFF, SWITCH_ON };

struct config {
	const char *kernel; /* NULL: the newest readable one of /boot */
	const char *initrds[LOADER_MAX_INITRDS];
	unsigned int num_initrds;
	const char *cmdline; /* the user's own words, "" by default */
	bool default_cmdline;
	bool earlycon; /* its words are among cmdline's */
	enum loader_boot boot;
	bool kaslr;
	bool kernel_cache;
	const char *fit_config; /* of a FIT image; NULL: its default */
	bool dtb;		/* hand the kernel a device tree */

	const char *flat; /* NULL: boot a kernel */
	uint64_t flat_gpa;
	enum entry_mode flat_mode;

	uint64_t memory; /* bytes, a multiple of 4 KiB */
	bool hugepages;	 /* from hugetlbfs, not merely THP */
	unsigned int cpus;
	const char *cpu_features; /* "host,-avx2,+x2apic" or NULL */
	const char *name;	  /* of the VM, NULL for none */
	bool has_uuid;
	uint8_t uuid[SMBIOS_UUID];
	const char *smbios_serial; /* NULL: one made of the UUID */
	const char *smbios_oem[SMBIOS_MAX_OEM];
	unsigned int num_smbios_oem;

	struct serial_config serial[CONFIG_MAX_SERIAL];
	struct disk_config disks[CONFIG_MAX_DISKS];
	unsigned int num_disks;
	struct net_config nets[CONFIG_MAX_NETS];
	unsigned int num_nets;
	struct share_config shares[CONFIG_MAX_SHARES];
	unsigned int num_shares;
	enum console_kind console; /* what stdio is in the guest */
	struct port_config ports[CONFIG_MAX_PORTS];
	unsigned int num_ports;
	bool rng;
	bool balloon;
	uint64_t balloon_size; /* bytes taken from the guest */
	enum transport transport;
	unsigned int hotplug; /* free slots for devices that come later; 0: no hot-plug */

	enum end_action on_reboot, on_poweroff, on_panic;
	uint16_t exit_port; /* 0: none */
	bool dry_run;	    /* do not start it */
	bool detach;	    /* from its caller, once it runs */
	enum sandbox_mode sandbox;
	const char *user;    /* whom to become, NULL for none */
	const char *events;  /* a file, or the number of a descriptor; NULL: none */
	int events_fd;	     /* that number, or -1 */
	const char *metrics; /* a file; NULL: none */
	uint64_t metrics_ms; /* how often */
	struct gdb_where gdb;
	const char *dump_dtb; /* where its device tree goes, instead of a description */
	unsigned int verbose;
	const char *kvm_device; /* "/dev/kvm" */

	bool given[NUM_OPTIONS]; /* the option was there */
	char *cmdline_copy;	 /* owned: what cmdline points to once -a was there */
	char *metrics_copy;	 /* owned: what metrics points to */
	char *flat_copy;	 /* owned: what flat points to */
};

/* Sets the defaults; nothing to free yet. */
void config_init(struct config *config);
/* Frees what the config owns; NULL is allowed. */
void config_destroy(struct config *config);

/*
 * Parses `bantam run`'s arguments; argv[0] is skipped, argv must outlive the config. Returns 0, 1
 * when help was asked for, -EINVAL with a line that names the option and what it takes, -ENOMEM.
 * After a failure the config can only be destroyed.
 */
int config_parse(struct config *config, int argc, char **argv, struct error *err);

/* The same for another verb that takes some of the options (doctor: --kvm, -v). */
int config_parse_verb(
	struct config *config, enum verb verb, int argc, char **argv, struct error *err);

/* Checks ranges and what concerns more than one option: 0, or -EINVAL with a line. */
int config_validate(const struct config *config, struct error *err);

/*
 * Parses a size: decimal digits and an optional B, K, M, G or T (also KB, KiB...; all powers of
 * 1024; capitals do not matter). Without a suffix the number counts units of unit bytes. A fraction
 * (1.5G) is rounded down to 1/1024 of its unit, and bytes have none. Returns
 * 0, -EINVAL for what is no size, -ERANGE past 2^64; *size is untouched on failure.
 */
int config_parse_size(const char *text, uint64_t unit, uint64_t *size);
/* The same for a guest-physical address: hexadecimal behind 0x, otherwise a size in bytes. */
int config_parse_gpa(const char *text, uint64_t *gpa);
/* The same for a plain decimal number. */
int config_parse_number(const char *text, uint64_t *number);

/*
 * The value of --disk, of --net, of --share, of --port, and the part of them and of --serial that
 * says where a stream of characters leads. 0, -EINVAL with a line, -ENOMEM. The copy in it is the
 * caller's to free, also after a failure; where->path points into value.
 */
int config_parse_disk(const char *value, struct disk_config *disk, struct error *err);
int config_parse_net(const char *value, struct net_config *net, struct error *err);
/* What a user network is made of; log and clock are NULL, and what ret leads to is net's. */
void config_net_slirp(const struct net_config *net, struct net_slirp_config *ret);
int config_parse_share(const char *value, struct share_config *share, struct error *err);
int config_parse_port(const char *value, struct port_config *port, struct error *err);
int config_parse_where(
	enum option_id id, const char *value, struct serial_config *where, struct error *err);
/* The index of value among the n words, or -EINVAL and a line that begins with what and lists them.
 */
int config_parse_word(
	const char *what, const char *value, const char *const *words, struct error *err);

/* The value of id= there. -EINVAL with a line that begins with option. */
int config_parse_id(const char *option, const char *value, const char **ret, struct error *err);

/* A word that stands behind a comma in an option's value; set gets what is behind its "=". */
struct config_key {
	const char *name;
	bool takes_value;
	int (*set)(void *opaque, const char *value, struct error *err);
};

/*
 * Cuts the part up to the next single comma off *rest, with double ones made single; NULL when
 * there is none. *rest becomes NULL with the last one.
 */
char *config_next_part(char **rest);
/*
 * Calls the setter of "name" or "name=value", which is cut in place, for opaque. -EINVAL with a
 * line that begins with option, and ends with hint if no key has that name.
 */
int config_set_key(const char *option, char *part, const struct config_key *keys, size_t num_keys,
	void *opaque, const char *hint, struct error *err);

#endif
