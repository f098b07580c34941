/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One queue in, one list out. Adding wakes idle threads and makes new ones as long as there is
 * more work than hands; a thread that had nothing to do for a while ends, so a quiet disk has none.
 * What is done is collected in a list, and the eventfd is written only when that was empty: one
 * wake-up of the loop for all that finishes until it looks.
 *
 * The threads' bounce buffers are one mapping, made with the pool, of which nothing is memory
 * before it is used. An ended thread still has to be joined; whoever needs its place or finishes
 * the pool does that.
 */
#include "pool.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	STACK_SIZE = 128 * 1024,
	BOUNCE_TOTAL = (POOL_THREADS + 1) * BOUNCE_SIZE,
};

int blk_pool_init(struct blk_pool *pool)
{
	pthread_condattr_t attr;
	void *bounce = mmap(
		NULL, BOUNCE_TOTAL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bounce == MAP_FAILED)
		return -errno;
	pool->bounce = bounce;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->work, &attr);
	pthread_condattr_destroy(&attr);
	pool->todo = pool->done = (struct blk_list){0};
	pool->num_todo = pool->idle = 0;
	pool->stopping = false;
	atomic_init(&pool->any_done, false);
	for (int i = 0; i < POOL_THREADS; i++)
		pool->worker[i] = (struct blk_worker){.pool = pool};
	return 0;
}

/* Runs the request without the lock, which is held before and after. */
static void execute(struct blk_pool *pool, struct blk_request *req, unsigned int index)
{
	const uint64_t one = 1;
	bool first;

	pthread_mutex_unlock(&pool->lock);
	pool->run(pool->opaque, req, pool->bounce + (size_t)index * BOUNCE_SIZE);
	pthread_mutex_lock(&pool->lock);
	first = !pool->done.head;
	blk_list_add(&pool->done, req);
	atomic_store_explicit(&pool->any_done, true, memory_order_relaxed);
	if (first && write(pool->event_fd, &one, sizeof(one)) < 0)
		return; /* a full counter is as good */
}

static struct blk_request *pop(struct blk_pool *pool)
{
	struct blk_request *req = blk_list_pop(&pool->todo);

	pool->num_todo -= req != NULL;
	return req;
}

/* Returns the next request, or NULL when this thread should end. The lock is held. */
static struct blk_request *wait_for_work(struct blk_pool *pool)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += POOL_IDLE_S;
	pool->idle++;
	while (!pool->todo.head && !pool->stopping && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&pool->work, &pool->lock, &until);
	pool->idle--;
	return pop(pool);
}

static void *worker_main(void *arg)
{
	struct blk_worker *worker = arg;
	struct blk_pool *pool = worker->pool;
	struct blk_request *req;

	pthread_mutex_lock(&pool->lock);
	while ((req = pop(pool)) != NULL || (req = wait_for_work(pool)) != NULL)
		execute(pool, req, (unsigned int)(worker - pool->worker));
	worker->ended = true;
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* With the lock held; an ended thread needs it no more. */
static int start_worker(struct blk_worker *worker)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int rc;

	if (worker->made)
		pthread_join(worker->thread, NULL);
	worker->ended = false;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/* Signals are for others, but what this thread does itself: memory that the host lacks,
	 * calls that the sandbox denies. */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&worker->thread, &attr, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	worker->made = rc == 0;
	return rc;
}

/* With the lock held: as many hands as there is work, up to the limit. False: there are none. */
static bool get_hands(struct blk_pool *pool)
{
	unsigned int wanted = pool->num_todo, waking = MIN(pool->idle, wanted);
	bool any = false;

	for (unsigned int i = 0; i < waking; i++)
		pthread_cond_signal(&pool->work);
	wanted -= waking;
	for (int i = 0; i < POOL_THREADS; i++) {
		struct blk_worker *worker = &pool->worker[i];

		if ((!worker->made || worker->ended) && wanted && start_worker(worker) == 0)
			wanted--;
		any |= worker->made && !worker->ended;
	}
	return any;
}

void blk_pool_add(struct blk_pool *pool, struct blk_list *list)
{
	struct blk_request *req;

	if (!list->head)
		return;
	pthread_mutex_lock(&pool->lock);
	for (req = list->head; req; req = req->next)
		pool->num_todo++;
	blk_list_move(&pool->todo, list);
	/* Slow, but the guest's I/O does not depend on the host having threads left. */
	if (!get_hands(pool))
		while ((req = pop(pool)) != NULL)
			execute(pool, req, POOL_THREADS);
	pthread_mutex_unlock(&pool->lock);
}

bool blk_pool_ready(struct blk_pool *pool)
{
	return atomic_load_explicit(&pool->any_done, memory_order_relaxed);
}

void blk_pool_take(struct blk_pool *pool, struct blk_list *list)
{
	if (!blk_pool_ready(pool))
		return;
	pthread_mutex_lock(&pool->lock);
	blk_list_move(list, &pool->done);
	atomic_store_explicit(&pool->any_done, false, memory_order_relaxed);
	pthread_mutex_unlock(&pool->lock);
}

void blk_pool_cancel(struct blk_pool *pool, struct blk_list *list)
{
	pthread_mutex_lock(&pool->lock);
	blk_list_move(list, &pool->todo);
	pool->num_todo = 0;
	pthread_mutex_unlock(&pool->lock);
}

void blk_pool_fini(struct blk_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (int i = 0; i < POOL_THREADS; i++)
		if (pool->worker[i].made)
			pthread_join(pool->worker[i].thread, NULL);
	munmap(pool->bounce, BOUNCE_TOTAL);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
}
