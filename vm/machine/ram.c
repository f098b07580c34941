/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/machine/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vm/core/error.h"
#include "vm/core/guest_mem.h"
#include "vm/core/layout.h"
#include "vm/machine/hugetlb.h"

/* The page size of KVM's large mappings: RAM aligned to it costs 512 times fewer page faults. */
#define HUGE_PAGE  (2 * MiB)
#define GUARD_PAGE (4 * KiB)

struct ram {
	uint8_t *base; /* of all the ranges, one behind the other */
	void *mapping;
	uint64_t mapping_size;
};

unsigned int ram_layout(uint64_t size, struct ram_range ranges[RAM_MAX_RANGES])
{
	static const struct ram_range holes[] = {
		{.gpa = LAYOUT_LOW_RAM_END, .size = LAYOUT_HIGH_RAM_START - LAYOUT_LOW_RAM_END},
		{.gpa = LAYOUT_MMIO64_BASE, .size = LAYOUT_MMIO64_SIZE},
	};
	uint64_t gpa = 0;
	unsigned int n = 0;

	for (size_t i = 0; size && i < ARRAY_SIZE(holes); i++) {
		uint64_t part = MIN(size, holes[i].gpa - gpa);

		ranges[n++] = (struct ram_range){.gpa = gpa, .size = part};
		size -= part;
		gpa = holes[i].gpa + holes[i].size;
	}
	if (size)
		ranges[n++] = (struct ram_range){.gpa = gpa, .size = size};
	return n;
}

/* A limit that would be told by SIGBUS, in the middle of the guest's life */
static int check_cgroups(uint64_t size, struct error *err)
{
	char where[HUGETLB_WHERE];
	uint64_t room = hugetlb_room("/proc/self/cgroup", "/sys/fs/cgroup", where);

	if (room >= size)
		return 0;
	return error_set(err, -ENOMEM,
		"%llu MiB of huge pages for the guest's memory: a cgroup allows %llu MiB (%s); "
		"raise that, or give the guest less with --memory",
		(unsigned long long)(size / MiB), (unsigned long long)(room / MiB), where);
}

static int map_huge(struct ram *ram, uint64_t size, int advice, struct error *err)
{
	void *p;
	int rc = check_cgroups(size, err);

	if (rc)
		return rc;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1,
		0);

	if (p != MAP_FAILED) {
		if (advice != MADV_NORMAL)
			madvise(p, size, advice);
		*ram = (struct ram){.base = p, .mapping = p, .mapping_size = size};
		return 0;
	}
	error_set_errno(err, -errno,
		"%llu MiB of huge pages for the guest's memory; reserve %llu of them first "
		"(sysctl vm.nr_hugepages=%llu), or leave --hugepages out",
		(unsigned long long)(size / MiB), (unsigned long long)(size / HUGE_PAGE),
		(unsigned long long)(size / HUGE_PAGE));
	return -ENOMEM;
}

/* What stands in the way of memory that is not even used yet */
static const char *why_refused(void)
{
	struct rlimit limit;
	char mode = '\0';
	int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, &mode, 1) < 0)
			mode = '\0';
		close(fd);
	}
	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		return "; the address space of this process is limited (ulimit -v)";
	if (mode == '2')
		return "; the host does not overcommit memory (vm.overcommit_memory=2): give the "
		       "guest less with --memory, or raise vm.overcommit_ratio";
	return "";
}

/*
 * Maps more than asked for: what lies before and behind the aligned part, a page at least, cannot
 * be touched.
 */
static int map_aligned(struct ram *ram, uint64_t size, int advice, struct error *err)
{
	const uint64_t around = HUGE_PAGE + 2 * GUARD_PAGE;
	uint8_t *p = mmap(
		NULL, size + around, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *base = p + (ALIGN_UP((uintptr_t)p + GUARD_PAGE, HUGE_PAGE) - (uintptr_t)p);
	int code = p == MAP_FAILED ? errno : 0;

	if (!code && mprotect(base, size, PROT_READ | PROT_WRITE) < 0) {
		code = errno;
		munmap(p, size + around);
	}

	if (code) {
		return error_set(err, -ENOMEM, "%llu MiB of guest memory: %s%s",
			(unsigned long long)(size / MiB), strerror(code), why_refused());
	}
	*ram = (struct ram){.base = base, .mapping = p, .mapping_size = size + around};
	/* Both are advice: a kernel built without THP refuses the first. */
	madvise(ram->base, size, MADV_HUGEPAGE);
	if (advice != MADV_NORMAL)
		madvise(ram->base, size, advice);
	return 0;
}

int ram_create(uint64_t size, bool hugepages, int advice, struct guest_mem *mem, struct ram **ret,
	struct error *err)
{
	struct ram_range ranges[RAM_MAX_RANGES];
	unsigned int n = ram_layout(size, ranges);
	struct ram *ram = calloc(1, sizeof(*ram));
	uint8_t *hva;
	int rc;

	if (!ram)
		return error_set_errno(err, -ENOMEM, "guest memory");
	rc = hugepages ? map_huge(ram, size, advice, err) : map_aligned(ram, size, advice, err);
	if (rc < 0) {
		free(ram);
		return rc;
	}
	hva = ram->base;
	for (unsigned int i = 0; i < n && !rc; hva += ranges[i++].size)
		rc = guest_mem_add(mem, ranges[i].gpa, ranges[i].size, hva);
	if (rc < 0) {
		ram_destroy(ram);
		return error_set_errno(err, rc, "guest memory map");
	}
	*ret = ram;
	return 0;
}

void ram_destroy(struct ram *ram)
{
	if (!ram)
		return;
	munmap(ram->mapping, ram->mapping_size);
	free(ram);
}
