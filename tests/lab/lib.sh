# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Shared by the lab's scripts: where the cache is, progress lines, locks, and an apt of our own.
#
# Everything the lab makes lies in one cache outside the tree. A thing gets its final name only by
# a rename when it is complete, so a run that was interrupted leaves nothing half-made behind, and
# a lock per thing lets several runs share the cache.
#
# The apt used here reads the system's configuration (proxies, certificates) but has lists,
# archives and sources of its own: one directory per suite and architecture, holding exactly that
# suite, so that no pinning is needed to say which version is meant. The mirror is the one the
# machine already uses; signatures are checked with Debian's own keyring, never switched off.

LAB_CACHE=${BANTAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bantam/lab}
LAB_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# What level 1 of the lab is made of. Binaries built outside run inside, so this is the
# distribution that Bantam is built and tested on.
# shellcheck disable=SC2034 # used by the scripts that source this file
LAB_SUITE=bookworm

say() {
	printf '  %-7s %s\n' "$1" "$2" >&2
}

die() {
	printf '%s: %s\n' "${0##*/}" "$1" >&2
	exit "${2:-1}"
}

# Every script of the lab ends here: a log that was being written is shown (its writer failed), and
# unfinished things are removed.
LAB_LOG=''
LAB_TMP=''
exec {LAB_STDERR}>&2
lab_exit() {
	local rc=$?
	if [ -n "$LAB_LOG" ]; then
		tail -n 25 "$LAB_LOG" >&"$LAB_STDERR"
		printf '%s: failed (whole log: %s)\n' "${0##*/}" "$LAB_LOG" >&"$LAB_STDERR"
	fi
	[ -z "$LAB_TMP" ] || rm -rf "$LAB_TMP"
	return "$rc"
}
trap lab_exit EXIT

# logged NAME COMMAND...: runs quietly; the log's end is shown if the command fails. Like
# with_lock, not to be called under `if` or `||`: that would switch `set -e` off inside COMMAND.
logged() {
	LAB_LOG=$LAB_CACHE/log/$1
	shift
	mkdir -p "$LAB_CACHE/log"
	"$@" >"$LAB_LOG" 2>&1 </dev/null
	LAB_LOG=''
}

# lab_tmp: sets LAB_TMP to a directory on the cache's file system that is removed at the end.
lab_tmp() {
	mkdir -p "$LAB_CACHE/tmp"
	LAB_TMP=$(mktemp -d "$LAB_CACHE/tmp/${0##*/}.XXXXXX")
}

# with_lock NAME COMMAND...: one at a time, over all processes that share the cache.
with_lock() {
	local name=$1 fd
	shift
	mkdir -p "$LAB_CACHE/locks"
	exec {fd}>"$LAB_CACHE/locks/$name"
	if ! flock -n "$fd"; then
		say WAIT "for another run that is making $name"
		flock "$fd"
	fi
	"$@" {fd}>&-
	exec {fd}>&-
}

# The Debian mirror this machine uses. Without downloaded lists apt does not know a source's
# origin, so then the release's name decides.
lab_mirror() {
	local site
	if [ -n "${BANTAM_MIRROR:-}" ]; then
		printf '%s\n' "$BANTAM_MIRROR"
		return
	fi
	# shellcheck disable=SC2016 # $(SITE) and the like are apt's
	site=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(RELEASE)|$(COMPONENT)|$(SITE)' \
		'Created-By: Packages' | awk -F'|' '
		$4 != "main" { next }
		$1 == "Debian" && $2 == "Debian" { print 1, $5 }
		$1 == "" && $3 ~ /^(bookworm|trixie|stable|oldstable|testing|sid)$/ { print 2, $5 }' |
		sort -s -n -k1,1 | sed -n '1s/^[0-9] //p')
	[ -n "$site" ] || die "apt knows no Debian mirror here; name one in BANTAM_MIRROR"
	printf '%s\n' "${site%/}"
}

# lab_apt SUITE ARCH TOOL ARGUMENTS...: apt-get or apt-cache on that suite alone.
lab_apt() {
	local dir=$LAB_CACHE/apt/$1-$2 tool=$3
	shift 3
	"$tool" -c "$dir/apt.conf" "$@"
}

lab_apt_make() {
	local suite=$1 arch=$2 dir=$LAB_CACHE/apt/$1-$2 mirror
	mirror=$(lab_mirror) || exit 1
	[ -r "$LAB_KEYRING" ] || die "no $LAB_KEYRING: install debian-archive-keyring"
	rm -rf "$dir"
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	: >"$dir/status"
	printf 'deb [arch=%s signed-by=%s] %s %s main\n' "$arch" "$LAB_KEYRING" "$mirror" "$suite" \
		>"$dir/sources.list"
	cat >"$dir/apt.conf" <<-CONF
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Post-Invoke;
		#clear APT::Architectures;
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		APT::Sandbox::User "$(id -un)";
		APT::Default-Release "";
		APT::Install-Recommends "false";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
		Acquire::Retries "3";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::Etc::preferences "-";
		Dir::Etc::preferencesparts "-";
		Dir::State "$dir";
		Dir::State::lists "$dir/lists";
		Dir::State::status "$dir/status";
		Dir::State::extended_states "$dir/extended_states";
		Dir::Cache "$dir";
		Dir::Cache::archives "$dir/archives";
	CONF
	say APT "package lists of Debian $suite ($arch)"
	logged "apt-$suite-$arch" lab_apt "$suite" "$arch" apt-get update
	touch "$dir/updated"
}

# lab_apt_ready SUITE ARCH: lists are there, and not older than a day where something is to be
# downloaded (an older list may name versions that the mirror has dropped).
lab_apt_ready() {
	local stamp=$LAB_CACHE/apt/$1-$2/updated
	if [ ! -e "$stamp" ] || [ -n "$(find "$stamp" -mmin +1440)" ]; then
		lab_apt_make "$1" "$2"
	fi
}

# lab_debs LIST PACKAGE...: downloads packages of LAB_SUITE and all that they depend on. LIST gets
# the files' names, of those that lie in the archives of lab_unpack.
lab_debs() {
	local list=$1
	shift
	with_lock "apt-$LAB_SUITE-amd64" lab_apt_ready "$LAB_SUITE" amd64
	# --print-uris writes 'URI' FILE SIZE HASH for each archive that is not there yet.
	lab_apt "$LAB_SUITE" amd64 apt-get -y --print-uris -o "Dir::Cache::archives=${list%/*}" \
		install "$@" 2>"$list.error" | awk '/^\047/ { print $2 }' >"$list"
	[ -s "$list" ] || die "cannot resolve the packages $*: $(tail -n 3 "$list.error")"
	logged download with_lock "archives-$LAB_SUITE-amd64" \
		lab_apt "$LAB_SUITE" amd64 apt-get -y -q --download-only install "$@"
}

# lab_unpack ROOT LIST [TAR-OPTION...]: the files of those packages side by side, without the
# documentation. No script of theirs runs.
lab_unpack() {
	local root=$1 list=$2 dir deb
	shift 2
	# /bin and the like are links into /usr, as base-files' script would have made them
	for dir in bin sbin lib lib32 lib64 libx32; do
		mkdir -p "$root/usr/$dir"
		ln -s "usr/$dir" "$root/$dir"
	done
	while read -r deb; do
		dpkg-deb --fsys-tarfile "$LAB_CACHE/apt/$LAB_SUITE-amd64/archives/$deb" |
			tar -x -C "$root" --keep-directory-symlink "$@" \
				--exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
				--exclude='./usr/share/locale/*' --exclude='./usr/share/info/*'
	done <"$list"
	# what base-passwd's and mawk's scripts would have made, and others count on
	cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
	cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
	[ -e "$root/usr/bin/awk" ] || ln -s mawk "$root/usr/bin/awk"
}

# in_tree ROOT PROGRAM NAME ARGUMENTS...: runs a program of such a tree under that name, with the
# tree's own loader and libraries.
in_tree() {
	local root=$1 program=$2 name=$3
	shift 3
	"$root/lib64/ld-linux-x86-64.so.2" \
		--library-path "$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu" \
		--argv0 "$name" "$root/$program" "$@"
}

# publish TMP NAME VERSION: the finished directory TMP becomes items/NAME/VERSION, the current one.
publish() {
	local home=$LAB_CACHE/items/$2
	mkdir -p "$home"
	rm -rf "${home:?}/$3"
	mv -T "$1" "$home/$3"
	ln -sfn "$3" "$home/.current.$$"
	mv -T "$home/.current.$$" "$home/current"
}

# item NAME: the directory of the version in use; fails if there is none.
item() {
	[ -e "$LAB_CACHE/items/$1/current/." ] || return 1
	printf '%s/items/%s/%s\n' "$LAB_CACHE" "$1" "$(readlink "$LAB_CACHE/items/$1/current")"
}
