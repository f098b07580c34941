/* SPDX-License-Identifier: BSD-2-Clause */
/* What a machine has counted, for those who ask: vCPUs, disks, cards, balloon. */
#include <stdio.h>

#include "machine_private.h"
#include "virtio/balloon/balloon.h"
#include "virtio/blk/blk.h"
#include "virtio/device.h"
#include "virtio/net/net.h"
#include "vm/machine/disks.h"
#include "vm/machine/nets.h"

static void number(const struct stats_sink *sink, const char *key, uint64_t value)
{
	sink->number(sink->opaque, key, value);
}

static void count(const struct stats_sink *sink, const char *key, const struct counter *counter)
{
	number(sink, key, counter_read(counter));
}

static void open_object(const struct stats_sink *sink, const char *key)
{
	sink->open(sink->opaque, key, false);
}

static void open_list(const struct stats_sink *sink, const char *key)
{
	sink->open(sink->opaque, key, true);
}

static void close_value(const struct stats_sink *sink)
{
	sink->close(sink->opaque);
}

/* ---- vCPUs ---- */

static void put_exits(const struct vcpu *vcpu, const struct stats_sink *sink)
{
	char word[32];

	open_object(sink, "exits");
	for (unsigned int reason = 0; reason < VCPU_NUM_EXITS; reason++)
		if (vcpu_exits(vcpu, reason) && vcpu_exit_word(reason, word))
			number(sink, word, vcpu_exits(vcpu, reason));
	close_value(sink);
}

static void put_vcpu(struct vcpu *vcpu, const struct stats_sink *sink)
{
	static const struct {
		const char *key;
		bool ns;
	} kinds[NUM_VCPU_STATS] = {
		[VCPU_STAT_EXITS] = {"kvm_exits", false},
		[VCPU_STAT_HALTS] = {"halts", false},
		[VCPU_STAT_INTERRUPTS] = {"interrupts", false},
		[VCPU_STAT_HALTED_NS] = {"halted", true},
		[VCPU_STAT_STEAL_NS] = {"steal", true},
	};
	struct vcpu_stats stats;

	open_object(sink, NULL);
	put_exits(vcpu, sink);
	vcpu_read_stats(vcpu, &stats);
	for (unsigned int i = 0; i < NUM_VCPU_STATS; i++) {
		if (!(stats.valid & (1u << i)))
			continue;
		if (kinds[i].ns)
			sink->real(sink->opaque, kinds[i].key, (double)stats.value[i] / 1e9);
		else
			number(sink, kinds[i].key, stats.value[i]);
	}
	close_value(sink);
}

bool machine_want_stats(struct machine *m)
{
	bool ready = true;

	for (unsigned int i = 0; i < m->num_vcpus; i++)
		ready &= vcpu_want_stats(m->vcpus[i]);
	return ready;
}

/* ---- limits ---- */

static void put_limit(const struct limit_config *limit, bool card, enum limit_direction direction,
	const struct stats_sink *sink)
{
	char name[32];

	for (enum limit_value v = 0; v < NUM_LIMIT_VALUES; v++)
		if (limit->value[v])
			number(sink, limit_name(card, direction, v, name), limit->value[v]);
}

/* ---- disks ---- */

/* How many were faster than 2^i microseconds and not than 2^(i-1), as far as there are any. */
static void put_latencies(
	const struct latencies *latencies, const char *key, const struct stats_sink *sink)
{
	unsigned int n = LATENCY_BUCKETS;

	while (n && !counter_read(&latencies->bucket[n - 1]))
		n--;
	if (!n)
		return;
	open_object(sink, key);
	count(sink, "sum_us", &latencies->sum_us);
	open_list(sink, "below_us_log2");
	for (unsigned int i = 0; i < n; i++)
		count(sink, NULL, &latencies->bucket[i]);
	close_value(sink);
	close_value(sink);
}

static void put_queue(
	const struct virtio_device *vdev, unsigned int q, const struct stats_sink *sink)
{
	const struct virtio_queue_counts *counts = virtio_device_counts(vdev, q);

	count(sink, "kicks", &counts->kicks);
	count(sink, "interrupts", &counts->interrupts);
}

static void put_disk_queue(
	const struct machine *m, unsigned int i, unsigned int q, const struct stats_sink *sink)
{
	static const char *const kinds[] = {[VIRTIO_BLK_READ] = "reads",
		[VIRTIO_BLK_WRITE] = "writes",
		[VIRTIO_BLK_FLUSH] = "flushes",
		[VIRTIO_BLK_DISCARD] = "discards"};
	const struct virtio_blk_counts *counts = virtio_blk_counts(m->disks[i], q);

	open_object(sink, NULL);
	for (unsigned int kind = 0; kind < VIRTIO_BLK_NUM_KINDS; kind++)
		count(sink, kinds[kind], &counts->requests[kind]);
	count(sink, "read_bytes", &counts->bytes_read);
	count(sink, "written_bytes", &counts->bytes_written);
	count(sink, "errors", &counts->errors);
	put_queue(m->disks[i], q, sink);
	open_object(sink, "latency");
	for (unsigned int kind = 0; m->ticks_scale && kind < VIRTIO_BLK_NUM_KINDS; kind++)
		put_latencies(&counts->latencies[kind], kinds[kind], sink);
	close_value(sink);
	close_value(sink);
}

static void put_disk(const struct machine *m, unsigned int i, const struct stats_sink *sink)
{
	const struct disk_config *disk = disks_config(m->env.disks, i);

	open_object(sink, NULL);
	sink->text(sink->opaque, "name", disks_id(m->env.disks, i));
	sink->text(sink->opaque, "file", disk->path);
	open_object(sink, "limit");
	put_limit(disks_limit(m->env.disks, i), false, LIMIT_RX, sink);
	close_value(sink);
	open_list(sink, "queues");
	for (unsigned int q = 0; q < disk->queues; q++)
		put_disk_queue(m, i, q, sink);
	close_value(sink);
	close_value(sink);
}

/* ---- cards ---- */

static void put_direction(const struct machine *m, unsigned int i, unsigned int pair,
	enum virtio_net_direction direction, const struct stats_sink *sink)
{
	const struct virtio_net_counts *counts = virtio_net_counts(m->nets[i], pair, direction);

	open_object(sink, direction == VIRTIO_NET_RX ? "rx" : "tx");
	count(sink, "frames", &counts->frames);
	count(sink, "bytes", &counts->bytes);
	count(sink, "drops", &counts->drops);
	put_queue(virtio_net_device(m->nets[i]), 2 * pair + (direction == VIRTIO_NET_TX), sink);
	close_value(sink);
}

static void put_net(const struct machine *m, unsigned int i, const struct stats_sink *sink)
{
	open_object(sink, NULL);
	sink->text(sink->opaque, "name", nets_id(m->env.nets, i));
	sink->text(sink->opaque, "network", nets_name(m->env.nets, i));
	sink->flag(sink->opaque, "vhost", nets_vhost(m->env.nets, i) != NULL);
	open_object(sink, "limit");
	put_limit(nets_limit(m->env.nets, i, LIMIT_RX), true, LIMIT_RX, sink);
	put_limit(nets_limit(m->env.nets, i, LIMIT_TX), true, LIMIT_TX, sink);
	close_value(sink);
	open_list(sink, "queues");
	for (unsigned int pair = 0; pair < virtio_net_pairs(m->nets[i]); pair++) {
		open_object(sink, NULL);
		put_direction(m, i, pair, VIRTIO_NET_RX, sink);
		put_direction(m, i, pair, VIRTIO_NET_TX, sink);
		close_value(sink);
	}
	close_value(sink);
	close_value(sink);
}

void machine_stats(struct machine *m, const struct stats_sink *sink)
{
	open_list(sink, "vcpus");
	for (unsigned int i = 0; i < m->num_vcpus; i++)
		put_vcpu(m->vcpus[i], sink);
	close_value(sink);
	open_list(sink, "disks");
	for (unsigned int i = 0; i < CONFIG_MAX_DISKS; i++)
		if (m->disks[i])
			put_disk(m, i, sink);
	close_value(sink);
	open_list(sink, "nets");
	for (unsigned int i = 0; i < CONFIG_MAX_NETS; i++)
		if (m->nets[i])
			put_net(m, i, sink);
	close_value(sink);
	if (m->balloon)
		number(sink, "balloon", virtio_balloon_actual(m->balloon));
}
