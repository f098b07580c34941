/* SPDX-License-Identifier: BSD-2-Clause */
#include "balloon_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "vm/core/guest_mem.h"

struct balloon_fixture bal;
struct vdrv upper;

/* Chains that the driver would find used now. */
static unsigned int used(const struct vdrv_queue *q)
{
	uint16_t idx = 0;

	if (q->used)
		memcpy(&idx, q->used + 2, sizeof(idx));
	return (uint16_t)(idx - q->last_used);
}

static int record(void *opaque, void *hva, size_t len)
{
	struct balloon_fixture *f = opaque;
	const uint8_t *p = hva;
	const bool in_ram = p >= vrig.ram && p < vrig.ram + RIG_RAM_SIZE;
	const uint8_t *base = in_ram ? vrig.ram : f->big_hva;
	const uint64_t size = in_ram ? RIG_RAM_SIZE : f->big_mapped;

	assert_true(base && p >= base && range_ok((uint64_t)(p - base), len, size));
	assert_true(len && len <= VIRTIO_BALLOON_PASS_BYTES);
	assert_int_equal(((uintptr_t)p | len) % f->config.page_size, 0);
	assert_true(f->num_runs < MAX_RUNS);
	f->used_too_early += used(&drv.q[INFLATE]) + used(&upper.q[0]) + used(&upper.q[1]);
	if (f->fail)
		return f->fail;
	f->runs[f->num_runs++] = (struct balloon_run){(size_t)(p - base) / PAGE, len / PAGE};
	f->bytes += len;
	return 0;
}

static void changed(void *opaque)
{
	((struct balloon_fixture *)opaque)->stats_changed++;
}

static void create(enum rig_kind kind)
{
	rig_create(&vrig, kind);
	if (bal.loop)
		assert_int_equal(event_loop_create(&vrig.loop), 0);
	bal.big_mapped = bal.big;
	if (bal.big) {
		bal.big_hva = mmap(NULL, bal.big, PROT_READ,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		assert_true(bal.big_hva != MAP_FAILED);
		assert_int_equal(guest_mem_add(vrig.mem, BIG_BASE, bal.big, bal.big_hva), 0);
	}
	fake_clock_init(&bal.clock);
	bal.config.mem = vrig.mem;
	bal.config.loop = vrig.loop;
	bal.config.clock = &bal.clock.clock;
	if (bal.real_clock) {
		assert_int_equal(timer_queue_create(vrig.loop, &bal.timers), 0);
		bal.config.clock = timer_queue_clock(bal.timers);
	}
	assert_int_equal(virtio_balloon_create(&bal.config, &bal.b), 0);
	rig_plug(&vrig, virtio_balloon_device(bal.b));
	vdrv_attach(&drv, &vrig);
	upper = drv;
	upper.first = REPORTING_LINUX;
}

static void destroy(void)
{
	rig_unplug(&vrig);
	timer_queue_destroy(bal.timers);
	bal.timers = NULL;
	rig_destroy(&vrig);
	assert_int_equal(fake_clock_armed(&bal.clock), 0);
	assert_int_equal(bal.used_too_early, 0);
	if (bal.big_hva)
		munmap(bal.big_hva, bal.big_mapped);
	bal.big_hva = NULL;
}

int balloon_set_up(void **state)
{
	memset(&bal, 0, sizeof(bal));
	bal.config = (struct virtio_balloon_config){.name = "balloon",
		.deflate_on_oom = true,
		.free_page_reporting = true,
		.page_size = PAGE,
		.discard = record,
		.stats_changed = changed,
		.opaque = &bal};
	create((enum rig_kind)(uintptr_t)*state);
	return 0;
}

int balloon_tear_down(void **state)
{
	(void)state;
	destroy();
	return 0;
}

void balloon_restart(void)
{
	const enum rig_kind kind = vrig.kind;

	destroy();
	create(kind);
}

void balloon_negotiate(uint64_t features)
{
	drv.brk = RIG_RAM_BASE;
	assert_true(vdrv_negotiate(&drv, features));
	drv.t->take_irq(&drv); /* from before */
	memset(drv.q, 0, sizeof(drv.q));
	memset(upper.q, 0, sizeof(upper.q));
	upper.negotiated = features;
	upper.brk = RIG_RAM_BASE + RIG_RAM_SIZE / 4;
	vdrv_queue_setup(&drv, INFLATE, VIRTIO_BALLOON_QUEUE_SIZE);
	vdrv_queue_setup(&drv, DEFLATE, VIRTIO_BALLOON_QUEUE_SIZE);
	if (features & VIRTIO_BALLOON_F_STATS_VQ)
		vdrv_queue_setup(&drv, STATS, VIRTIO_BALLOON_QUEUE_SIZE);
	if (features & VIRTIO_BALLOON_F_PAGE_REPORTING)
		balloon_upper_setup(REPORTING);
}

void balloon_upper_setup(unsigned int q)
{
	vdrv_queue_setup(&upper, q - REPORTING_LINUX, VIRTIO_BALLOON_QUEUE_SIZE);
}

void balloon_start(uint64_t features)
{
	balloon_negotiate(features);
	vdrv_driver_ok(&drv);
}

void balloon_request(struct vdrv *d, unsigned int q, const struct vdrv_buf *bufs, unsigned int out,
	unsigned int in)
{
	uint32_t len = UINT32_MAX;
	const int head = vdrv_add(d, q, bufs, out, in, false);

	vdrv_kick(d, q);
	rig_run(&vrig);
	assert_int_equal(vdrv_get(d, q, &len), head);
	assert_int_equal(len, 0);
	assert_int_equal(drv.t->take_irq(&drv), VIRTIO_ISR_QUEUE);
}

void balloon_send(unsigned int q, const uint32_t *pfns, size_t n)
{
	const uint64_t brk = drv.brk;
	const struct vdrv_buf buf = {vdrv_alloc(&drv, 4 * n, 4), (uint32_t)(4 * n)};

	memcpy(vdrv_at(&drv, buf.gpa, buf.len), pfns, buf.len);
	balloon_request(&drv, q, &buf, 1, 0);
	drv.brk = brk;
}

void balloon_expect(const struct balloon_run *runs, size_t n)
{
	assert_int_equal(bal.num_runs, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(bal.runs[i].page, runs[i].page);
		assert_int_equal(bal.runs[i].count, runs[i].count);
	}
	bal.num_runs = bal.bytes = 0;
}
