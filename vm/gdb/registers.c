/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb wants the registers of "org.gnu.gdb.i386.core", ".sse" and ".segments" by these names, in any
 * order; numbers follow from the order here. What comes behind them is for people, who find it by
 * name.
 */
#include "vm/gdb/registers.h"

#include <stdarg.h>
#include <stdio.h>

#include "vm/gdb/packet.h"

struct row {
	const char *feature; /* begins one */
	const char *name, *type, *group;
	uint16_t offset, size;
};

#define AT(field)	    offsetof(struct gdb_registers, field), sizeof(((struct gdb_registers *)0)->field)
#define R(field)	    NULL, #field, "int64", NULL, AT(field)
#define SEGMENT(field)	    NULL, #field, "int32", NULL, AT(field)
#define ST(n)		    NULL, "st" #n, "i387_ext", NULL, AT(st[n])
#define FLOAT(field)	    NULL, #field, "int", "float", AT(field)
#define XMM(n)		    NULL, "xmm" #n, "vec128", NULL, AT(xmm[n])
#define SYSTEM(field, type) NULL, #field, type, "system", AT(field)

static const struct row rows[] = {
	{"org.gnu.gdb.i386.core", "rax", "int64", NULL, AT(rax)},
	{R(rbx)},
	{R(rcx)},
	{R(rdx)},
	{R(rsi)},
	{R(rdi)},
	{NULL, "rbp", "data_ptr", NULL, AT(rbp)},
	{NULL, "rsp", "data_ptr", NULL, AT(rsp)},
	{R(r8)},
	{R(r9)},
	{R(r10)},
	{R(r11)},
	{R(r12)},
	{R(r13)},
	{R(r14)},
	{R(r15)},
	{NULL, "rip", "code_ptr", NULL, AT(rip)},
	{NULL, "eflags", "i386_eflags", NULL, AT(eflags)},
	{SEGMENT(cs)},
	{SEGMENT(ss)},
	{SEGMENT(ds)},
	{SEGMENT(es)},
	{SEGMENT(fs)},
	{SEGMENT(gs)},
	{ST(0)},
	{ST(1)},
	{ST(2)},
	{ST(3)},
	{ST(4)},
	{ST(5)},
	{ST(6)},
	{ST(7)},
	{FLOAT(fctrl)},
	{FLOAT(fstat)},
	{FLOAT(ftag)},
	{FLOAT(fiseg)},
	{FLOAT(fioff)},
	{FLOAT(foseg)},
	{FLOAT(fooff)},
	{FLOAT(fop)},
	{"org.gnu.gdb.i386.sse", "xmm0", "vec128", NULL, AT(xmm[0])},
	{XMM(1)},
	{XMM(2)},
	{XMM(3)},
	{XMM(4)},
	{XMM(5)},
	{XMM(6)},
	{XMM(7)},
	{XMM(8)},
	{XMM(9)},
	{XMM(10)},
	{XMM(11)},
	{XMM(12)},
	{XMM(13)},
	{XMM(14)},
	{XMM(15)},
	{NULL, "mxcsr", "i386_mxcsr", "vector", AT(mxcsr)},
	{"org.gnu.gdb.i386.segments", "fs_base", "int64", NULL, AT(fs_base)},
	{NULL, "gs_base", "int64", NULL, AT(gs_base)},
	{"org.bantam.system", "k_gs_base", "int64", "system", AT(k_gs_base)},
	{SYSTEM(cr0, "cr0")},
	{SYSTEM(cr2, "int64")},
	{SYSTEM(cr3, "int64")},
	{SYSTEM(cr4, "cr4")},
	{SYSTEM(cr8, "int64")},
	{SYSTEM(efer, "efer")},
};

/* gdb 13 has types of vectors and flags only from the feature that uses them. */
static const char sse_types[] =
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
	"<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	"<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
	"<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	"<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
	"<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	"<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
	"<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
	"<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
	"<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" "
	"type=\"uint128\"/></union>"
	"<flags id=\"i386_mxcsr\" size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/>"
	"<field name=\"DE\" start=\"1\" end=\"1\"/><field name=\"ZE\" start=\"2\" end=\"2\"/>"
	"<field name=\"OE\" start=\"3\" end=\"3\"/><field name=\"UE\" start=\"4\" end=\"4\"/>"
	"<field name=\"PE\" start=\"5\" end=\"5\"/><field name=\"DAZ\" start=\"6\" end=\"6\"/>"
	"<field name=\"IM\" start=\"7\" end=\"7\"/><field name=\"DM\" start=\"8\" end=\"8\"/>"
	"<field name=\"ZM\" start=\"9\" end=\"9\"/><field name=\"OM\" start=\"10\" end=\"10\"/>"
	"<field name=\"UM\" start=\"11\" end=\"11\"/><field name=\"PM\" start=\"12\" end=\"12\"/>"
	"<field name=\"FZ\" start=\"15\" end=\"15\"/></flags>";

struct flag {
	const char *name;
	unsigned int bit;
};

static const struct flag eflags[] = {{"", 1}, {"CF", 0}, {"PF", 2}, {"AF", 4}, {"ZF", 6}, {"SF", 7},
	{"TF", 8}, {"IF", 9}, {"DF", 10}, {"OF", 11}, {"NT", 14}, {"RF", 16}, {"VM", 17},
	{"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}};
static const struct flag cr0[] = {{"PE", 0}, {"MP", 1}, {"EM", 2}, {"TS", 3}, {"ET", 4}, {"NE", 5},
	{"WP", 16}, {"AM", 18}, {"NW", 29}, {"CD", 30}, {"PG", 31}};
static const struct flag cr4[] = {{"VME", 0}, {"PVI", 1}, {"TSD", 2}, {"DE", 3}, {"PSE", 4},
	{"PAE", 5}, {"MCE", 6}, {"PGE", 7}, {"PCE", 8}, {"OSFXSR", 9}, {"OSXMMEXCPT", 10},
	{"UMIP", 11}, {"LA57", 12}, {"VMXE", 13}, {"SMXE", 14}, {"FSGSBASE", 16}, {"PCIDE", 17},
	{"OSXSAVE", 18}, {"SMEP", 20}, {"SMAP", 21}, {"PKE", 22}, {"CET", 23}, {"PKS", 24}};
static const struct flag efer[] = {{"SCE", 0}, {"LME", 8}, {"LMA", 10}, {"NXE", 11}, {"SVME", 12},
	{"LMSLE", 13}, {"FFXSR", 14}};

unsigned int gdb_num_registers(void)
{
	return ARRAY_SIZE(rows);
}

struct text {
	char *buf;
	size_t size, len;
};

static void say(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void say(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, args);
	va_end(args);
	if (n > 0)
		t->len = MIN(t->len + (size_t)n, t->size - 1);
}

static void say_flags(
	struct text *t, const char *id, unsigned int size, const struct flag *flags, size_t num)
{
	say(t, "<flags id=\"%s\" size=\"%u\">", id, size);
	for (size_t i = 0; i < num; i++)
		say(t, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[i].name, flags[i].bit,
			flags[i].bit);
	say(t, "</flags>");
}

/* What types the i-th feature's registers need. */
static void say_types(struct text *t, unsigned int feature)
{
	if (feature == 0)
		say_flags(t, "i386_eflags", 4, eflags, ARRAY_SIZE(eflags));
	if (feature == 1)
		say(t, "%s", sse_types);
	if (feature != 3)
		return;
	say_flags(t, "cr0", 8, cr0, ARRAY_SIZE(cr0));
	say_flags(t, "cr4", 8, cr4, ARRAY_SIZE(cr4));
	say_flags(t, "efer", 8, efer, ARRAY_SIZE(efer));
}

size_t gdb_registers_xml(char *buf, size_t size)
{
	struct text t = {.buf = buf, .size = size};
	unsigned int feature = 0;

	say(&t, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
		"<target version=\"1.0\"><architecture>i386:x86-64</architecture>");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		if (row->feature) {
			say(&t, "%s<feature name=\"%s\">", i ? "</feature>" : "", row->feature);
			say_types(&t, feature++);
		}
		say(&t, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"%s%s%s/>", row->name,
			row->size * 8U, row->type, row->group ? " group=\"" : "",
			row->group ? row->group : "", row->group ? "\"" : "");
	}
	say(&t, "</feature></target>");
	return t.len;
}

static const struct row *row_of(uint64_t number)
{
	return number < ARRAY_SIZE(rows) ? &rows[number] : NULL;
}

static void put(struct gdb_out *out, const struct gdb_registers *regs, const struct row *row)
{
	gdb_out_hex(out, (const uint8_t *)regs + row->offset, row->size);
}

void gdb_put_registers(struct gdb_out *out, const struct gdb_registers *regs)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		put(out, regs, &rows[i]);
}

bool gdb_put_register(struct gdb_out *out, const struct gdb_registers *regs, uint64_t number)
{
	const struct row *row = row_of(number);

	if (row)
		put(out, regs, row);
	return row;
}

static bool take(const char **p, struct gdb_registers *regs, const struct row *row)
{
	return gdb_take_hex(p, (uint8_t *)regs + row->offset, row->size);
}

bool gdb_take_registers(const char *hex, struct gdb_registers *regs)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!take(&hex, regs, &rows[i]))
			return false;
	return !*hex;
}

bool gdb_take_register(const char *hex, struct gdb_registers *regs, uint64_t number)
{
	const struct row *row = row_of(number);

	return row && take(&hex, regs, row) && !*hex;
}
