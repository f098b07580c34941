/* SPDX-License-Identifier: BSD-2-Clause */
/* `bantam nmi` and `bantam sysrq` */
#include <errno.h>

#include "client.h"
#include "vm/client/verbs.h"
#include "vm/config/config.h"
#include "vm/config/exit_code.h"

int client_nmi(int argc, char **argv)
{
	struct client_args args;
	struct error err = {""};
	json_t *values;
	uint64_t cpu;
	int code = client_parse(&args, VERB_NMI, argc, argv, 1, 1);

	if (code >= 0)
		return code;
	values = json_object();
	if (args.given[OPT_ONE_CPU]) {
		if (config_parse_number(args.values[OPT_ONE_CPU], &cpu) < 0 || cpu > INT64_MAX) {
			json_decref(values);
			error_set(&err, -EINVAL, "--cpu: '%s' is not a number",
				args.values[OPT_ONE_CPU]);
			return client_complain(&err, EXIT_USAGE);
		}
		json_object_set_new(values, "cpu", json_integer((json_int_t)cpu));
	}
	return client_simple(args.operands[0], "nmi", values);
}

int client_sysrq(int argc, char **argv)
{
	struct client_args args;
	int code = client_parse(&args, VERB_SYSRQ, argc, argv, 2, 2);

	if (code >= 0)
		return code;
	return client_simple(
		args.operands[0], "sysrq", json_pack("{s:s}", "key", args.operands[1]));
}
