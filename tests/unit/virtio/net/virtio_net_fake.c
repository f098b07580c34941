/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_net_fake.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fakes/check.h"

static struct fake_net *fake_of(struct net *net)
{
	struct fake_net *fake = container_of(net, struct fake_net, net);

	CHECK(!fake->closed);
	return fake;
}

/* ---- frames ---- */

static struct fake_frame *new_frame(unsigned int queue, size_t len)
{
	struct fake_frame *frame = calloc(1, sizeof(*frame) + len);

	CHECK(frame);
	frame->queue = queue;
	frame->len = len;
	return frame;
}

static void append(struct fake_frames *list, struct fake_frame *frame)
{
	if (list->last)
		list->last->next = frame;
	else
		list->first = frame;
	list->last = frame;
	list->num++;
}

static struct fake_frame *shift(struct fake_frames *list)
{
	struct fake_frame *frame = list->first;

	if (!frame)
		return NULL;
	list->first = frame->next;
	if (!list->first)
		list->last = NULL;
	list->num--;
	frame->next = NULL;
	return frame;
}

static size_t total(const struct iovec *iov, int num)
{
	size_t len = 0;

	CHECK(num > 0 && num <= IOV_MAX);
	for (int i = 0; i < num; i++) {
		CHECK(iov[i].iov_base && iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

/* ---- what the front end calls ---- */

static int attach(
	struct net *net, struct event_loop *loop, const struct net_listener *listener, void *opaque)
{
	struct fake_net *fake = fake_of(net);

	(void)loop;
	CHECK(!listener != !fake->listener);
	if (listener && fake->fail_attach)
		return fake->fail_attach;
	fake->listener = listener;
	fake->opaque = opaque;
	return 0;
}

/* What no front end may ask for, as it was not agreed on. */
static void check_sent(const struct fake_net *fake, const struct fake_frame *frame)
{
	static const uint32_t offload_of[] = {0, NET_TSO4, 0, NET_UFO, NET_TSO6, NET_USO};
	const uint32_t can = fake->net.info.send_offloads;
	struct net_header h;

	memcpy(&h, frame->bytes, sizeof(h));
	CHECK(!(h.flags & ~1) && (!h.flags || (can & NET_CSUM)));
	CHECK(h.flags || (!h.csum_start && !h.csum_offset));
	CHECK(!h.flags || (size_t)h.csum_start + h.csum_offset + 2 <= frame->len - NET_HEADER);
	CHECK((h.gso_type & 0x7f) < 6 && h.gso_type != 2 && h.gso_type != 0x80);
	CHECK(!h.gso_type || (can & offload_of[h.gso_type & 0x7f]));
	CHECK(!(h.gso_type & 0x80) || (can & NET_ECN));
	CHECK(!h.gso_type == !h.gso_size);
	CHECK(h.hdr_len <= frame->len - NET_HEADER && !h.num_buffers);
}

static int send_frame(
	struct net *net, unsigned int queue, const struct iovec *iov, int num, size_t len)
{
	struct fake_net *fake = fake_of(net);
	struct fake_frame *frame;
	uint8_t *to;

	CHECK(fake->listener && queue < fake->pairs);
	CHECK(total(iov, num) == len && len >= NET_MIN_FRAME && len <= NET_MAX_FRAME);
	fake->sends++;
	if (fake->on_send)
		fake->on_send();
	if (fake->refuse)
		return fake->refuse;
	if (!fake->room) {
		fake->waiting[queue] = true;
		return -EAGAIN;
	}
	fake->room -= fake->room != UINT_MAX;
	fake->max_iovs = MAX(fake->max_iovs, num);
	frame = new_frame(queue, len);
	to = frame->bytes;
	for (int i = 0; i < num; to += iov[i++].iov_len)
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
	check_sent(fake, frame);
	append(&fake->sent, frame);
	return 0;
}

static ssize_t recv_frame(struct net *net, unsigned int queue, const struct iovec *iov, int num)
{
	struct fake_net *fake = fake_of(net);
	const size_t room = total(iov, num);
	struct fake_frame *frame;
	size_t done = 0;
	ssize_t len;

	CHECK(fake->listener && queue < fake->pairs);
	fake->recvs++;
	if (fake->broken)
		return fake->broken;
	frame = shift(&fake->queued[queue]);
	if (!frame)
		return -EAGAIN;
	fake->recv_iovs = num;
	len = frame->len <= room ? (ssize_t)frame->len : -EMSGSIZE;
	for (int i = 0; len > 0 && done < frame->len; i++) {
		const size_t n = MIN(iov[i].iov_len, frame->len - done);

		memcpy(iov[i].iov_base, frame->bytes + done, n);
		done += n;
	}
	free(frame);
	return len;
}

static void rx_enable(struct net *net, unsigned int queue, bool on)
{
	struct fake_net *fake = fake_of(net);

	CHECK(queue < FAKE_NET_QUEUES);
	fake->enables += fake->rx_on[queue] != on;
	fake->rx_on[queue] = on;
}

static int set_offloads(struct net *net, uint32_t offloads)
{
	struct fake_net *fake = fake_of(net);

	CHECK(!(offloads & ~net->info.recv_offloads));
	fake->offloads_set++;
	if (fake->fail_offloads)
		return fake->fail_offloads;
	fake->offloads = offloads;
	return 0;
}

static int set_queues(struct net *net, unsigned int pairs)
{
	struct fake_net *fake = fake_of(net);

	CHECK(pairs && pairs <= net->info.max_queues);
	fake->queues_set++;
	if (fake->fail_queues)
		return fake->fail_queues;
	/* A queue out of use is not looked at, and begins anew when it comes back. */
	for (unsigned int q = pairs; q < fake->pairs; q++)
		fake->rx_on[q] = fake->waiting[q] = false;
	for (unsigned int q = MAX(fake->pairs, 1U); q < pairs; q++)
		fake->rx_on[q] = true;
	fake->pairs = pairs;
	return 0;
}

static bool get_link(struct net *net)
{
	return fake_of(net)->link_up;
}

static void close_net(struct net *net)
{
	struct fake_net *fake = fake_of(net);

	CHECK(!fake->listener);
	fake->closed = true;
}

static const struct net_ops ops = {.attach = attach,
	.send = send_frame,
	.recv = recv_frame,
	.rx_enable = rx_enable,
	.set_offloads = set_offloads,
	.set_queues = set_queues,
	.link = get_link,
	.close = close_net};

/* ---- what the test calls ---- */

void fake_net_init(struct fake_net *fake)
{
	const uint32_t all = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_UFO | NET_USO;

	memset(fake, 0, sizeof(*fake));
	fake->net.ops = &ops;
	fake->net.info = (struct net_info){
		.send_offloads = all, .recv_offloads = all, .max_queues = FAKE_NET_QUEUES};
	fake->room = UINT_MAX;
	fake->link_up = true;
	for (unsigned int q = 0; q < FAKE_NET_QUEUES; q++)
		fake->rx_on[q] = true;
}

static void clear(struct fake_frames *list)
{
	struct fake_frame *frame;

	while ((frame = shift(list)))
		free(frame);
}

void fake_net_fini(struct fake_net *fake)
{
	CHECK(!fake->listener);
	clear(&fake->sent);
	for (unsigned int q = 0; q < FAKE_NET_QUEUES; q++)
		clear(&fake->queued[q]);
}

void fake_net_put(struct fake_net *fake, unsigned int queue, const struct net_header *header,
	const void *payload, size_t len)
{
	struct fake_frame *frame = new_frame(queue, NET_HEADER + len);

	memcpy(frame->bytes, header, NET_HEADER);
	if (len)
		memcpy(frame->bytes + NET_HEADER, payload, len);
	append(&fake->queued[queue], frame);
}

struct fake_frame *fake_net_take(struct fake_net *fake)
{
	return shift(&fake->sent);
}

void fake_net_allow(struct fake_net *fake, unsigned int frames)
{
	fake->room = frames;
	for (unsigned int q = 0; q < FAKE_NET_QUEUES && fake->listener; q++) {
		if (!fake->room || !fake->waiting[q])
			continue;
		fake->waiting[q] = false;
		fake->listener->writable(fake->opaque, q);
	}
}

void fake_net_set_link(struct fake_net *fake, bool up)
{
	fake->link_up = up;
	fake->listener->link_changed(fake->opaque);
}

unsigned int fake_net_round(struct fake_net *fake)
{
	unsigned int calls = 0;

	for (unsigned int q = 0; q < FAKE_NET_QUEUES && fake->listener; q++) {
		if (!fake->rx_on[q] || !fake->queued[q].first)
			continue;
		fake->listener->ready(fake->opaque, q);
		calls++;
	}
	return calls;
}

void fake_net_run(struct fake_net *fake)
{
	for (unsigned int n = 0; fake_net_round(fake); n++)
		CHECK(n < 100000);
}
