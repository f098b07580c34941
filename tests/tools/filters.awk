# SPDX-License-Identifier: BSD-2-Clause
#
# filters.awk FILE.list...: the lists of system calls (vm/sandbox/lists) as C, for
# tests/tools/make_filters.c. A line of a list is
#
#	CALL [TEST[,TEST...]] [: ERRNO]   # why
#	include NAME                      # the lines of NAME.list
#
# TEST is ARG=VALUE, ARG!=VALUE or ARG&MASK=VALUE: ARG is the argument's number from 0 on, VALUE and
# MASK are C expressions without blanks, @NAME a value that is known when the filter is loaded. All
# tests of a line must hold; of several lines about a call one. What a line with an ERRNO is about
# fails with that, without a word; without tests it counts only where no other line is about that
# call, and with tests only where no line without any allows it. What no line is about is a denial.

function fail(text) {
	printf "%s:%d: %s\n", file, line, text >"/dev/stderr"
	failed = 1
	exit 1
}

function value(text) {
	if (text ~ /^@[a-z]+$/)
		return "SLOT_" toupper(substr(text, 2))
	if (text !~ /^[A-Za-z0-9_|()<>,~+-]+$/)
		fail("'" text "' is not a value")
	return text
}

function test(text, out, arg, rest, mask) {
	if (text !~ /^[0-5](=|!=|&)/)
		fail("'" text "' is not a test of an argument")
	arg = substr(text, 1, 1)
	rest = substr(text, 2)
	if (sub(/^=/, "", rest))
		return sprintf("{%s, SCMP_CMP_EQ, %s, 0}", arg, value(rest))
	if (sub(/^!=/, "", rest))
		return sprintf("{%s, SCMP_CMP_NE, %s, 0}", arg, value(rest))
	mask = rest = substr(rest, 2)
	if (!sub(/=.*/, "", mask) || !sub(/^[^=]*=/, "", rest))
		fail("'" text "' is not a test of an argument")
	return sprintf("{%s, SCMP_CMP_MASKED_EQ, %s, %s}", arg, value(mask), value(rest))
}

function rule(text, errno, words, n, tests, count, parts, i) {
	errno = "0"
	if (text ~ /:/) {
		errno = text
		sub(/^.*:[ \t]*/, "", errno)
		sub(/[ \t]*:.*$/, "", text)
		if (errno !~ /^E[A-Z0-9]+$/)
			fail("'" errno "' is not an error's name")
	}
	n = split(text, words, /[ \t]+/)
	if (n > 2 || words[1] !~ /^[a-z0-9_]+$/)
		fail("a line is: CALL TESTS : ERRNO  # why")
	count = n == 2 ? split(words[2], parts, ",") : 0
	if (count > 6)
		fail("more tests than arguments")
	tests = ""
	for (i = 1; i <= count; i++)
		tests = tests (i > 1 ? ", " : "") test(parts[i])
	printf "\t{\"%s\", \"%s\", %d, \"%s\", %s, %d, {%s}},\n", class, file, line, words[1], errno,
		count, tests
}

function read_list(name, saved_file, saved_line, text, rc) {
	saved_file = file
	saved_line = line
	file = name
	line = 0
	if (++depth > 4)
		fail("included too deep")
	while ((rc = (getline text <name)) > 0) {
		line++
		if (text ~ /^[ \t]*(#|$)/)
			continue
		if (text !~ /[^ \t].*#[ \t]*[^ \t]/)
			fail("no reason is given")
		sub(/[ \t]*#.*/, "", text)
		sub(/^[ \t]+/, "", text)
		if (sub(/^include[ \t]+/, "", text))
			read_list(dir text ".list")
		else
			rule(text)
	}
	close(name)
	depth--
	file = saved_file
	line = saved_line
	if (rc < 0)
		fail(name ": there is no such list")
}

BEGIN {
	for (i = 1; i < ARGC; i++) {
		dir = class = ARGV[i]
		sub(/[^\/]*$/, "", dir)
		sub(/^.*\//, "", class)
		sub(/\.list$/, "", class)
		read_list(ARGV[i])
	}
	exit failed
}
