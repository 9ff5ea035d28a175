/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What runc's delete does behind a container that is over, without another start of runc. */
#ifndef SHIM_UNDO_H
#define SHIM_UNDO_H

#define UNDO_GROUPS "/sys/fs/cgroup"

enum undone {
	UNDO_DONE,
	UNDO_BUSY, /* a control group is not empty: nothing that the runtime needs for its own delete is gone */
	UNDO_NOT,  /* the runtime's own work: another runtime, hooks, a state that says something else */
};

/*
 * root is runc's folder of states, id the container's. Every control group of its state has to be below groups and to have the
 * id for its last name; then they go, with the groups in them, and the state behind them.
 */
enum undone undo_runc(const char *root, const char *id, const char *groups);

#endif
