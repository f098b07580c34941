/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs. Each takes its own arguments (argv[0] is the verb) and returns an exit code. */
#ifndef BANTAM_VM_CLI_COMMANDS_H
#define BANTAM_VM_CLI_COMMANDS_H

int command_run(int argc, char **argv);
int command_pack(int argc, char **argv);
int command_doctor(int argc, char **argv);

/* Chooses the verb: bantam's own argc and argv. */
int command_main(int argc, char **argv);

#endif
