/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers and memory: g, G, p, P, m, M, X. */
#include <errno.h>
#include <string.h>

#include "gdb_private.h"

enum { PIECE = 1024 };

static bool get(struct gdb *gdb, struct gdb_registers *regs)
{
	const bool ok = gdb->config.ops->get_registers(gdb->config.opaque, gdb->cpu, regs);

	if (!ok)
		gdb_error(gdb, -EIO);
	return ok;
}

static void set(struct gdb *gdb, const struct gdb_registers *regs)
{
	if (gdb->config.ops->set_registers(gdb->config.opaque, gdb->cpu, regs))
		gdb_ok(gdb);
	else
		gdb_error(gdb, -EIO);
}

void gdb_on_get_registers(struct gdb *gdb, const char *args)
{
	struct gdb_registers regs;

	(void)args;
	if (get(gdb, &regs))
		gdb_put_registers(&gdb->out, &regs);
}

void gdb_on_set_registers(struct gdb *gdb, const char *args)
{
	struct gdb_registers regs;

	if (!get(gdb, &regs))
		return;
	if (gdb_take_registers(args, &regs))
		set(gdb, &regs);
	else
		gdb_error(gdb, -EINVAL);
}

void gdb_on_get_register(struct gdb *gdb, const char *args)
{
	struct gdb_registers regs;
	uint64_t number;

	if (!gdb_take_number(&args, &number) || *args || number >= gdb_num_registers())
		gdb_error(gdb, -EINVAL);
	else if (get(gdb, &regs))
		gdb_put_register(&gdb->out, &regs, number);
}

void gdb_on_set_register(struct gdb *gdb, const char *args)
{
	struct gdb_registers regs;
	uint64_t number;

	if (!gdb_take_number(&args, &number) || !gdb_take(&args, '=')) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	if (!get(gdb, &regs))
		return;
	if (gdb_take_register(args, &regs, number))
		set(gdb, &regs);
	else
		gdb_error(gdb, -EINVAL);
}

/* "addr,length" and, for writes, a colon. */
static bool take_range(const char **args, uint64_t *addr, uint64_t *len)
{
	return gdb_take_number(args, addr) && gdb_take(args, ',') && gdb_take_number(args, len);
}

/* As much as there is from the first byte on: gdb asks for the rest again, and hears why not. */
void gdb_on_read(struct gdb *gdb, const char *args)
{
	uint64_t addr, len, done = 0;
	uint8_t buf[PIECE];

	if (!take_range(&args, &addr, &len) || *args) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	len = MIN(len, (uint64_t)GDB_PACKET_MAX / 2);
	while (done < len) {
		const size_t want = (size_t)MIN(len - done, sizeof(buf));
		const size_t got =
			gdb->config.ops->read(gdb->config.opaque, gdb->cpu, addr + done, buf, want);

		gdb_out_hex(&gdb->out, buf, got);
		done += got;
		if (got < want)
			break;
	}
	if (len && !done)
		gdb_error(gdb, -EFAULT);
}

static bool write_piece(struct gdb *gdb, uint64_t addr, const void *buf, size_t len)
{
	return gdb->config.ops->write(gdb->config.opaque, gdb->cpu, addr, buf, len) == len;
}

void gdb_on_write(struct gdb *gdb, const char *args)
{
	uint64_t addr, len;
	uint8_t buf[PIECE];

	if (!take_range(&args, &addr, &len) || !gdb_take(&args, ':') || strlen(args) / 2 != len ||
		strlen(args) % 2) {
		gdb_error(gdb, -EINVAL);
		return;
	}
	for (uint64_t done = 0; done < len;) {
		const size_t n = (size_t)MIN(len - done, sizeof(buf));

		if (!gdb_take_hex(&args, buf, n) || !write_piece(gdb, addr + done, buf, n)) {
			gdb_error(gdb, -EFAULT);
			return;
		}
		done += n;
	}
	gdb_ok(gdb);
}

/* Bytes as they are: zeros among them, so the packet's length counts. */
void gdb_on_write_binary(struct gdb *gdb, const char *args)
{
	uint64_t addr, len;

	if (!take_range(&args, &addr, &len) || !gdb_take(&args, ':') ||
		len != (size_t)(gdb->in.data + gdb->in.len - args))
		gdb_error(gdb, -EINVAL);
	else if (len && !write_piece(gdb, addr, args, (size_t)len))
		gdb_error(gdb, -EFAULT);
	else
		gdb_ok(gdb);
}
