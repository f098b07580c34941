# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# For the scripts beside it, which set here, lab, bantam and tmp. What a run needs is gathered in
# $tmp/job, what it leaves lands in $tmp/out.

# static NAME OPTION...: a program of ours, for any Linux
static() {
	local name=$1
	shift
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O2 -static "$@" "$here/$name.c"
}

# cpio_of DIR
cpio_of() {
	(cd "$1" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0)
}

# make_guests LINUX...: kernels, each with two initramfs files, one of which carries the load
# generators; and those for level 1.
make_guests() {
	local linux kernel home load
	mkdir -p "$tmp/job/guests" "$tmp/first" "$tmp/extra/bin" "$tmp/out"
	static first -fno-stack-protector -nostdlib -o "$tmp/first/first"
	for load in load netload; do
		static "$load" -o "$tmp/job/$load"
		cp "$tmp/job/$load" "$tmp/extra/bin/"
	done
	for linux in "$@"; do
		kernel=$("$lab/fetch" "$linux")
		home=$tmp/job/guests/$linux
		mkdir "$home"
		cp "$kernel/vmlinuz" "$kernel/release" "$home/"
		"$lab/mkinitramfs" -o "$home/initramfs" -b "$("$lab/fetch" busybox)/busybox" -k "$kernel" \
			-i "$here/init" virtio_pci virtio_mmio virtio_blk virtio_net
		cpio_of "$tmp/first" >>"$home/initramfs"
		{ cat "$home/initramfs" && cpio_of "$tmp/extra"; } >"$home/initramfs-load"
	done
}

# in_lab OPTION... -- COMMAND...: level 1 may die or hang by a fault of its own (124, 125).
in_lab() {
	local rc=0 try file add=()
	for file in "$tmp"/job/*; do
		add+=(--add "$file")
	done
	for try in 1 2 3; do
		rc=0
		"$lab/run" --with qemu-system-x86 "${add[@]}" --out "$tmp/out" "$@" || rc=$?
		[ "$rc" -ge 124 ] || return "$rc"
		printf '  BENCH   level 1 of the lab failed (try %s)\n' "$try" >&2
	done
	return "$rc"
}

# Where in Bantam the function is that loads the guest: FILE:OFFSET, as uprobes want it.
load_at() {
	local at type offset from rest size
	at=0x$(nm "$bantam" | sed -n 's/ T loader_load$//p')
	readelf -lW "$bantam" | while read -r type offset from rest size _; do
		if [ "$type" = LOAD ] && ((at >= from && at < from + size)); then
			printf '/lab/job/files/bantam:%#x\n' $((at - from + offset))
		fi
	done
}

# make_job LINUX...
make_job() {
	make_guests "$@"
	load_at >"$tmp/job/load-at"
	cp "$bantam" "$tmp/job/bantam"
	cp "$here"/*.py "$tmp/job/"
}

# make_until_run: the program $tmp/until_run; and a flat guest, $tmp/halt, that does nothing but end.
make_until_run() {
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O2 -o "$tmp/until_run" "$here/until_run.c"
	printf '\364' >"$tmp/halt"
}
