/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs that reach a running VM over its socket. As those of vm/cli/commands.h: each takes its
 * own arguments (argv[0] is the verb), prints what it has to say and returns an exit code.
 */
#ifndef BANTAM_VM_CLIENT_VERBS_H
#define BANTAM_VM_CLIENT_VERBS_H

int client_ps(int argc, char **argv);
int client_stop(int argc, char **argv);
int client_reset(int argc, char **argv);
int client_pause(int argc, char **argv);
int client_resume(int argc, char **argv);
int client_wait(int argc, char **argv);
int client_events(int argc, char **argv);
int client_console(int argc, char **argv);
int client_stat(int argc, char **argv);
int client_top(int argc, char **argv);
int client_limit(int argc, char **argv);
int client_balloon(int argc, char **argv);
int client_nmi(int argc, char **argv);
int client_sysrq(int argc, char **argv);
int client_dump(int argc, char **argv);
int client_gdb(int argc, char **argv);
int client_logs(int argc, char **argv);
int client_disk(int argc, char **argv);
int client_net(int argc, char **argv);

#endif
