/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of this room share: the container, its record on disk, the store, the operation slot. Nobody outside
 * core/container includes it (unit tests may).
 *
 * Locks: store->lock (MAP) guards the indexes; container->lock (OBJECT) guards the container. The operation (op_begin to
 * op_end) serialises long work on one container; it is never held while waiting for the container's exit, because the
 * exit's own handling takes it.
 */
#ifndef CONTAINER_INTERNAL_H
#define CONTAINER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/fs.h"
#include "base/lock.h"
#include "container/container.h"
#include "container/signals.h"
#include "container/validate.h"

#define LOG_MAX_SIZE_DEFAULT (20ll << 20)
#define LOG_MAX_FILE_DEFAULT 5
#define LOG_MAX_FILE_MOST    1000
#define LOG_BUFFER_MOST      (1ll << 30)

struct health_probe { int64_t start, end, exit_code; char *output; };
struct health_state { char *status; int64_t failing_streak; struct jlist log; /* health_probe, the oldest first */ };

struct container_state {
	bool running, paused, restarting, oom_killed, removal, dead;
	int64_t pid, exit_code;
	char *error;
	int64_t started_at, finished_at;
	struct health_state *health; /* or NULL */
};

/* One network of NetworkSettings.Networks. */
struct endpoint {
	char *ipam_config; /* JSON text */
	struct strv links, aliases;
	char *network_id, *endpoint_id, *gateway, *ip_address, *ipv6_gateway, *global_ipv6, *mac_address;
	int64_t ip_prefix_len, global_ipv6_prefix_len;
	struct strmap driver_opts;
	int64_t gw_priority;
	char *desired_mac; /* asked for; that of the main network stands with Config */
	char *rest;
};
struct net_settings {
	char *bridge, *sandbox_id, *sandbox_key, *ports, *service;
	struct jmap networks; /* struct endpoint */
	char *rest;
};

/* One entry of MountPoints; the key is the destination. */
struct mount_point {
	char *type, *name, *source, *destination, *driver, *mode, *propagation;
	bool rw, skip_creation;
	struct mount_spec spec; /* what was asked for; empty for volumes of the image */
	bool copy_up, unmounted; /* not stored; a volume that was given back, of which nothing was told yet */
};

/* config.v2.json, in Docker's shape; what this build does not know is kept (rest). */
struct container_record {
	char *stream_config;
	struct container_state state;
	char *id;
	int64_t created;
	bool managed;
	char *path;
	struct strv args;
	struct container_config config;
	char *image; /* id of the image, "sha256:..." */
	struct net_settings net;
	char *log_path, *name, *driver, *os, *mount_label, *process_label;
	int64_t restart_count;
	bool started_before, manually_stopped;
	struct jmap mounts; /* struct mount_point */
	char *secrets, *configs;
	char *apparmor_profile, *hostname_path, *hosts_path, *shm_path, *resolv_path, *seccomp_profile;
	bool no_new_privileges;
	char *log_cache;
	struct log_config *next_log; /* ours: taken at the next start; NULL: there is none */
	char *userns; /* ours: the range of ids of its own, as idmaps_format() has it; NULL: none */
	char *rest;
};
extern const struct jdesc endpoint_desc, mount_point_desc, container_record_desc, health_probe_desc, health_state_desc;

/* A shim handle shared by those who call it and the exit that ends it. */
struct run {
	atomic_int refs;
	struct shim *shim;
	bool killed; /* SIGKILL was sent. Under the container's lock */
	struct join_base *join; /* NULL until the first exec; changed under the container's lock, then fixed */
};
void run_put(struct run *r);
DEFINE_CLEANUP(struct run, run_put)

struct exec;
struct join_base; /* join.h */
struct bundle_in; /* bundle/bundle.h */

struct container {
	atomic_int refs;
	struct container_store *store;
	char id[65];
	struct lock lock;          /* OBJECT: guards all below */
	pthread_cond_t changed;    /* state or operation changed */
	bool op;                   /* the operation is taken */
	bool freezing;             /* freeze_take() */
	bool leaving;              /* runs no more, and its exit is not told yet */
	bool removed;              /* gone from the indexes */
	char *damaged;             /* why it can only be looked at, copied from and removed; set before it is in the indexes */
	struct container_record rec;
	struct host_config host;
	struct run *run;           /* from start until the exit was handled */
	struct run *starting;      /* its streams are there, the runtime works; the start's own reference */
	struct waiter *waiters;
	struct attachment *attachments; /* waiting for a start */
	struct exec **execs;
	size_t execs_len;
	bool no_restart;           /* stop or kill asked for: the restart policy pauses until the next start */
	int closing;               /* views that are still mounted and not used any more */
	int keep;                  /* restarts under way: autoremove waits */
	int64_t restart_delay;     /* ns, 0 before the first */
	int64_t started_mono;      /* clock_mono() of the last start by this daemon, or 0 */
	uint64_t restart_epoch;    /* a planned restart of an older epoch is void */
	uint64_t stops;            /* how often a client has asked for a stop */
	uint64_t health_epoch;     /* a planned probe of an older epoch is void */
	int64_t health_since;      /* clock_mono() of the start that its start period counts from */
	bool health_on;            /* probes are planned */
	struct net_port *published; /* rec.net.ports, read */
	size_t n_published;
	atomic_bool boots;         /* boot.c: is to be started with the daemon, and was not yet */
	atomic_bool boot_posted;
	/* Owned by the operation, not by the lock. */
	struct idmaps own;         /* rec.userns, read; given once, before anything of it is mounted */
	struct sandbox sandbox;
	char *rootfs;              /* mounted, or NULL */
	size_t volumes_mounted;    /* the first n of rec.mounts hold their volume's mount */
	bool shm_mounted;
	char *restore_from;        /* the folder of the checkpoint that a start begins from, or NULL */
	struct log_ship *ship;     /* changed under the lock, too */
	bool has_level; /* of SELinux, to be given back */
};

struct name_entry { char *name; char id[65]; };

struct container_store {
	struct container_deps deps;
	char *dir, *run_dir;       /* data_root/containers, exec_root/containers */
	char *runtime_root;        /* exec_root/runtime */
	struct lock ranges_lock;   /* LEAF: guards ranges */
	struct userns_range *ranges; /* ids that are given away */
	size_t ranges_len;
	struct lock lock;          /* MAP: guards the indexes */
	struct container **byid;   /* sorted by id */
	size_t len, room;
	struct name_entry *names;  /* sorted by name, which has its "/" */
	size_t names_len, names_room;
	struct exec **execs;
	size_t execs_len;
	atomic_bool stopping;      /* shutdown: no restarts, no starts */
	struct shim_monitor *monitor;
	struct work *work;
	struct work *closing;         /* views whose unmounting waits for the disk */
	atomic_int n_closing;
	struct lock settle_lock;   /* LEAF: guards what follows */
	pthread_cond_t settled;
	size_t settling;           /* containers whose run the start has not decided yet */
	struct health_pool *health;
	atomic_bool restoring;     /* container_store_restore() sweeps, or will: nothing may start */
	atomic_bool booting;       /* boot_begin() was called */
	atomic_bool any_links;     /* some container has links, or had */
};

/* store.c */
struct container *container_new(struct container_store *s, const char *id);
struct container *container_ref(struct container *c);
int store_add(struct container_store *s, struct container *c);
void store_drop(struct container_store *s, struct container *c);
/* Reserves name ("/x") for id. False: taken, and ret_holder has the id that holds it. */
bool store_name_take(struct container_store *s, const char *name, const char *id, char ret_holder[65]);
void store_name_free(struct container_store *s, const char *name, const char *id);
/* Every container, referenced; free each and the array. */
size_t store_all(struct container_store *s, struct container ***ret);
struct container *store_by_id(struct container_store *s, const char *id);
struct run *container_run(struct container *c); /* a reference, or NULL */
/* Asked when something failed: whether the container ended under it. Its exit may still be on its way here. */
bool container_ended(struct container *c);
/* As that, a moment later if need be: the runtime knows of a killed process whose last threads are still on their way out. */
bool container_ends(struct container *c);
/* A text of the record, under the lock: readers of the record hold only that. By the holder of the operation. */
void container_set_text(struct container *c, char **field, const char *text);

/* op.c: the operation slot. op_begin waits for its turn; ERR_NOT_FOUND when the container went meanwhile. */
int op_begin(struct container *c, struct err *err);
void op_begin_any(struct container *c);   /* also on removed ones */
void op_end(struct container *c);
static inline void op_endp(struct container **c) { if (*c) op_end(*c); }
#define OWN_OP CLEANUP(op_endp)

/* restore.c: waits until the start has decided what runs (-1: as long as it takes); how many are left. */
size_t container_store_settle(struct container_store *s, int64_t timeout_ns);

/* statefile.c */
/*
 * Never NULL: what cannot be read comes from the copies, or is missing in a damaged container (c->damaged).
 */
struct container *container_load(struct container_store *s, const char *id);
/* Notes what container_load() and the layer store found. Not for a leftover: an interrupted create damages nothing. */
void container_tell_damage(struct container *c);
/* Is there a record, or its copy? A folder with neither is a leftover. */
bool container_has_record(struct container_store *s, const char *id);
/* ERR_INTERNAL with the reason where it is damaged. */
int container_check_whole(const struct container *c, struct err *err);
/* Writes config.v2.json (and hostconfig.json with_host). By the holder of the operation, no lock held. */
int container_save(struct container *c, bool with_host, enum fs_sync sync, struct err *err);
/* A state mark: not synced, but in order (FS_ORDERED), with --rm not even that; failure is logged (false), the state in memory stands. */
bool container_save_state(struct container *c);
char *container_dir(const struct container *c);
char *container_run_dir(const struct container *c);

/* unfinished.c: the mark of a create under way, and the volumes that go with it. */
int unfinished_begin(struct container *c, struct err *err);
int unfinished_volume(struct container *c, const char *name, struct err *err);
int unfinished_view(struct container *c, const char *id, struct err *err); /* the layer of an image mount */
void unfinished_end(const struct container_store *s, const char *id);
bool unfinished_is(const struct container_store *s, const char *id);
void unfinished_drop_volumes(struct container_store *s, const char *id);

/* userns.c */
#define USERNS_NONE (-2)
/* Its ids as its processes have them, or NULL: the host's. */
const struct idmaps *container_userns(const struct container *c);
/* The same as its files have them, seen from the host: those of the data-root also where its processes have the host's. */
const struct idmaps *container_ids(const struct container *c);
struct fs_owner container_root_owner(const struct container *c);
/* Of the folders that containers pass, and nothing else: the host's root, with the group of theirs. */
struct fs_owner container_dir_owner(void);
/* A namespace for its start, its own or that of the container with whom it shares others; USERNS_NONE; -1. */
int userns_open(struct container *c, struct err *err);
/* Mounts its layer, or that of an image mount: the path, owned by the caller. */
char *container_mount(const struct container *c, const char *layer, struct err *err);
/* A layer just made for it: where no mount can show its files with the container's ids, they get these as owners. */
int container_fit_layer(const struct container *c, const char *layer, struct err *err);
/*
 * A user namespace for mounts of volumes (from the data-root's ids) or of folders of the host (from the host's) that are to show as its own; spec:
 * of idmap=SPEC, or NULL. USERNS_NONE where there is nothing to map.
 */
int userns_for_mount(const struct container *c, bool volume, const char *spec, struct err *err);
int userns_check_spec(const char *spec, struct err *err);
/* A copy of the mount at path with the ids of such a namespace (USERNS_NONE: as it is), detached. name: for messages. */
int userns_tree(int dirfd, int userns, const char *name, struct err *err);
/*
 * Its root under a path that its own root may pass: owned by the caller. userns_hide() takes it away again; the folder stays as long as the
 * container runs, as the runtime goes there for execs.
 */
char *userns_expose(const struct container *c, const char *rootfs, struct err *err);
void userns_hide(const struct container *c, bool folder);
void userns_sweep(const struct container_store *s); /* what a crash left */

/* pids.c: of all its processes, sorted as text; init: the first one. */
void container_pids(pid_t init, struct strv *ret);

/* userns-pool.c: ranges of the user that the daemon's --userns-pool names. */
struct userns_range { char id[65]; struct idmaps maps; };
int ids_take(struct container *c, uint32_t size, struct err *err);
void ids_adopt(struct container *c); /* rec.userns, unless it is not to be used: then there is none */
void ids_give(struct container *c);
void ids_done(struct container_store *s);

/* Bound in the run folder, as others (mount/pin.c): the path, owned by the caller. */
char *userns_pin(int fd, const char *run_dir, struct err *err);

/* status.c */
const char *state_word(const struct container_state *st);
char *state_text(const struct container_state *st, int64_t now, char *ret, size_t size);
bool state_word_valid(const char *w);

/* wait.c, under c->lock: wakes the waiters of an exit (or removal). */
void waiters_wake(struct container *c, bool removed);
/* Those who wait for a removal that has failed. */
void waiters_fail_removal(struct container *c, const char *why);
/* attach.c */
void attachments_connect(struct container *c, struct run *r);
void attachments_drop(struct container *c);

/* events: attributes image, name and labels, then key, value, ..., NULL. */
void container_event(struct container *c, const char *action, ...) __attribute__((sentinel));

/* mount/spec.c */
/* Of volumes-from. */
int mount_parse_from_mode(const char *mode, bool *ret_read_only, struct err *err);
int mount_parse_bind(const char *bind, const char *volume_driver, struct mount_point *ret, struct err *err);
int mount_from_spec(const struct mount_spec *spec, struct mount_point *ret, struct err *err);
int mount_check_tmpfs(const char *path, const char *options, struct err *err);
/* The options of a tmpfs mount: Docker's defaults merged with what was asked for. */
void mount_tmpfs_options(const char *options, struct strv *ret);
int mount_tmpfs_words(const struct tmpfs_options *to, struct buf *ret, struct err *err);
void mount_point_done(struct mount_point *m);
bool path_is_clean_absolute(const char *path);
/* labels.c: SELinux. Labels are NULL or "" where a container has none, or the daemon does not label. */
const char *container_mount_label(const struct container *c);
const char *container_process_label(const struct container *c);
int labels_settle(struct container *c, struct err *err); /* at create */
void labels_reserve(struct container *c);                /* a container from the disk */
void labels_release(struct container *c);
int labels_root(struct container *c, const char *root, struct err *err);
int labels_mount(struct container *c, const struct mount_point *m, const char *source, struct err *err);
void labels_file(struct container *c, const char *path);
char *path_clean(const char *path);

/* mounts.c: at create, fills rec.mounts; volumes it made are used by the container from then on. */
int mounts_resolve(struct container *c, const struct image *img, struct err *err);
void mounts_forget(struct container *c, bool remove_anonymous);
/* Copy-up of the image's content into empty volumes. */
int mounts_copy_up(struct container *c, const char *rootfs, struct err *err);
/* At start: mounts volumes, makes bind sources, lists everything for the runtime. */
struct mount_list { struct bundle_mount *v; size_t len; const char *propagation; /* the root's, or NULL */ };
int mounts_setup(struct container *c, struct mount_list *ret, struct err *err);
/* Nothing is told of it until mounts_tell(). */
void mounts_teardown(struct container *c);
void mounts_tell(struct container *c);
void mount_list_add(struct mount_list *l, const char *type, const char *source, const char *destination);
struct bundle_mount *mount_list_last(struct mount_list *l);
void mount_list_done(struct mount_list *l);
void mount_list_sort(struct mount_list *l);

/* mount/options.c: at create, a bind of the data-root and of what is above it; at start, the words of the last mount of l. */
int mount_settle_propagation(const struct container *c, struct mount_point *m, struct err *err);
int mount_bind_options(const struct container *c, const struct mount_point *m, const char *source, struct mount_list *l, struct err *err);
/* mount/pin.c: the place below root bound at a name in the run folder (owned by the caller), where n is like no other's. */
const char *mount_subpath(const struct mount_point *m); /* or NULL */
/* What stands behind the word idmap of its mode: "" for nothing; NULL without the word. Owned by the caller. */
char *mount_idmap(const struct mount_point *m);
int mount_open_subpath(const char *root, const char *subpath, int flags, struct err *err); /* fd or -1 */
/* subpath NULL: root itself. userns: see userns_tree(). */
char *mount_pin(const struct container *c, size_t n, const char *root, const char *subpath, int userns, struct err *err);
void mounts_unpin(const char *run_dir); /* all; before the folder is removed */
/* mount/show.c: the layer of an image mount. m->spec.source names the image, and becomes its id. */
bool mount_is_image(const struct mount_point *m);
void mount_view_id(const char *container, const struct mount_point *m, char ret[65]);
int mount_view_make(struct container *c, struct mount_point *m, struct err *err);
char *mount_view_get(const struct container *c, const struct mount_point *m, struct err *err); /* mounts: the path, owned by the caller */
void mount_view_put(const struct container *c, const struct mount_point *m);
void mount_view_remove(const struct container *c, const struct mount_point *m);

/* view.c: the files as the container's processes see them. */
struct view {
	struct container *container;
	int fd;                       /* the root, O_PATH */
	bool running;                 /* it is the one of its processes */
	bool held;                    /* its layer stays as long as this is open */
	bool layer;                   /* mounted by us, as these: names of volumes, places of images */
	struct strv volumes, images;
};
int view_open(struct container *c, struct view *ret, struct err *err); /* view_close() also after a failure */
void view_close(struct view *v);
/* The same, but nobody waits until the disk has all that is written, as unmounting does. */
void view_close_later(struct view *v);
/* Waits for those, before the layer is removed. */
void views_settle(struct container *c);
/* The path without links, as text (owned by the caller): what is not there stays as it is. NULL with err. */
char *view_resolve(const struct view *v, const char *path, struct err *err);
void views_sweep(const struct container_store *s); /* what a crash left */

/* copyup.c: copies the tree below from into the directory to where that is empty: 1 when it did. */
int tree_copy(int from, int to, struct err *err);

/* netfiles.c: hostname, hosts, resolv.conf of the container's folder. */
/* In another's network: its files and its name. */
/* links.c: at create, names become ids; the texts of inspect; lines of /etc/hosts and variables (either may be NULL; lenient: what is
 * linked may be gone); a container tells those that are linked to it of its address on the default bridge, or that it has none. */
int links_resolve(struct container *c, struct err *err);
void links_shown(struct container *c, struct strv *ret);
int links_collect(struct container *c, bool lenient, struct strv *hosts, struct strv *env, struct err *err);
void links_tell(struct container *c);
/* Where containers of the default bridge may not talk to each other: those that are linked do. */
int links_allow(struct container *c, struct err *err);
/* "[/]PARENT/ALIAS": the container behind that link, referenced, or NULL. */
struct container *links_find(struct container_store *s, const char *name);
int netfiles_share(struct container *c, struct container *other, struct err *err);
int netfiles_write(struct container *c, const char *mode, struct err *err);
/* Behind a connect, before a disconnect, of a running container: its lines of hosts, in place. */
void netfiles_joined(struct container *c, const struct net_endpoint *ep);
void netfiles_leaving(struct container *c, const struct net_endpoint *ep);
/* Behind either: the resolver came or went. What somebody else has written there stays. */
void netfiles_resolver(struct container *c, bool was);
/* Who is asked for names that are nobody's, and below which domains. */
void netfiles_servers(const struct container *c, struct strv *servers, struct strv *search);

/* log/opts.c */
int log_config_check(const struct log_config *lc, struct err *err);
void log_config_warn(const struct log_config *lc, struct strv *warnings); /* of options that a driver takes and that change nothing */
int log_config_fill(const struct container *c, const char *path, struct shim_log *ret, char **ret_attrs, struct err *err);
/* Where the shim writes the log: the container's folder, or local-logs in it. */
char *log_file_path(const struct container *c, const struct log_config *lc);
/* Makes its folder. */
int log_file_prepare(const struct container *c, struct err *err);

/* log/change.c */
void log_config_done(struct log_config *lc);
void log_config_get(struct container *c, struct log_config *ret); /* a copy of what there is, for those without the operation */
bool log_config_is_set(const struct log_config *lc);
/* Completes what an update asks for, and checks it. */
int log_config_settle(struct container *c, struct log_config *want, struct err *err);
void log_config_note(struct container *c, const struct log_config *want); /* under the lock */
/* At a start, under the operation: takes what was noted. */
int log_config_renew(struct container *c, struct err *err);

/* The variables of its configuration. */
void log_env(const struct container *c, struct strmap *ret);
/* Labels and variables that the options choose. */
int log_attrs(const struct container *c, const struct strmap *options, struct strmap *ret, struct err *err);

/* log/cache.c: where a log goes. What the shim writes is what it is read from, whatever the drivers do. */
struct log_plan {
	struct log_config shim;   /* json-file, local or none */
	bool cached;              /* nobody asked for that file: it lies between the shim and the drivers */
	struct log_config *parts; /* the drivers, each with its options; no name twice */
	size_t len;
	bool divided;             /* by a driver that is none of them */
};
int log_plan_make(const struct log_config *lc, struct log_plan *ret, struct err *err);
void log_plan_done(struct log_plan *p);
bool log_plan_is_local(const struct log_plan *p); /* the format of the shim's file */
bool log_has_driver(const struct log_config *lc);
/* The drivers' part of it: the shim's is the caller's. */
int log_driver_check(const struct log_config *lc, struct log_plan *ret, struct err *err);
bool log_cache_option(const char *key);
int log_cache_check(const struct log_config *lc, struct err *err); /* its values, whatever the driver */
bool log_cache_disabled(const struct log_config *lc); /* nobody may read it but the drivers' threads */

/* log/ship.c, by the holder of the operation: the threads that hand the log on to drivers. */
void ship_begin(struct container *c); /* behind the mark that the container runs; failure is logged */
void ship_tell_stop(struct container *c);
void ship_stop(struct container *c); /* what is not handed on after two seconds stays */

/* log/read.c: a descriptor that is readable when a log, or what lies in the container's folder, may have changed; -1: there are too many. */
#define LOGS_LOOK_AGAIN_MS 1000
int logs_watch(const char *dir, const char *path);

/* log/tag.c: the value of the log option tag; the whole template language is not spoken, what is unknown is an error. */
int log_tag(const struct container *c, const char *tag, struct buf *b, struct err *err);
/* The option's, or the first half of the id. */
int log_tag_of(const struct container *c, const struct strmap *options, struct buf *b, struct err *err);
void log_command(const struct container *c, struct buf *b);

/* endpoint.c: the networks of the record. */
bool endpoint_is_default(const char *mode);
bool endpoint_has_names(const char *network); /* one of the user's */
/* At create: those of the mode and of NetworkingConfig (JSON text or NULL), checked. */
int endpoints_settle(struct container *c, const char *networking, struct strv *warnings, struct err *err);
/* EndpointSettings of a client, checked, into a cleared one. network: its name; n: NULL while there is none. warnings may be NULL. */
int endpoint_take(json_t *js, const struct network *n, const char *network, struct endpoint *ret, struct strv *warnings, struct err *err);
/* What it is called on a network of the user's. Under the lock. */
void endpoint_names(const struct container *c, const struct endpoint *ep, struct strv *ret);
/* Adds the addresses of that network that it asks for. */
void endpoint_asked(struct container *c, const struct network *n, struct strv *ret);
/* The network of the mode if the container is on it, else the first. Under the lock, or the operation. */
const char *endpoint_main(const struct container *c, const char *mode);
struct wishes { struct net_wish *v; struct wish_own *own; size_t len; };
void wishes_done(struct wishes *w);
void wishes_make(struct container *c, const char *mode, struct wishes *ret);
/* One more. Under the lock. */
void wishes_add(struct wishes *w, const struct container *c, const char *network, const char *mac, const struct endpoint *ep);
/* Names become the ids that the record knows, where those networks are there. No lock held. */
void wishes_find(struct container *c, struct wishes *w);
/* Takes what the sandbox got from its networks into the record. */
void container_note_network(struct container *c);
void endpoints_forget(struct container *c); /* the opposite: they are not joined any more */
/* The last daemon ended within a connect: what the sandbox is on, and the record does not tell, is taken into it. */
void endpoints_adopt(struct container *c);

/* publish.c, by the holder of the operation. Ports are published as PortBindings and PublishAllPorts of hc say. */
const char *publish_proto(int proto);
/* Where the container runs; what was chosen before stays. hc: c's own, or what is to be. */
int publish_do(struct container *c, const struct host_config *hc, struct err *err);
void publish_forget(struct container *c);
void publish_read(struct container *c); /* rec.net.ports, as a daemon before this one left it */

/* start.c: what its own process and its execs have in common; borrowed from c. The rest is zero. The caller holds the operation. */
void container_describe(const struct container *c, struct bundle_in *ret);
/* start.c: the caller holds the operation. */
int container_start_op(struct container *c, struct err *err);
/* The network mode with "default" resolved. */
const char *container_mode(struct container *c);
void container_network_event(struct container *c, const char *action, const struct net_endpoint *ep);
/* What the runtime left of its control groups; kill as in cgroup_sweep(). */
void container_drop_groups(const struct container *c, bool kill);
/* Undoes what a start made: mounts, sandbox, layer. */
void container_unwind(struct container *c);
/* Behind it: tells of the network that was left, and forgets the sandbox. Of an exit, "die" is told first. */
void container_tell_unwound(struct container *c);
/*
 * The run folder holds the exit record: it goes after the state was written, so that a crash between loses no exit. What the
 * runtime could not delete goes with it.
 */
void container_drop_run_dir(struct container *c);
/* What is known of a run without the shim's files. args: the runtime's own, which the trace refers to. */
void container_trace(struct container *c, struct shim_trace *ret, struct strv *args);
/* checkpoint.c: the folder of one of the container's own checkpoints, for a start. */
int checkpoint_find(struct container *c, const char *name, char **ret_images, struct err *err);
/* What failed, in one line: the runtime's word and the first error of criu's log. */
void checkpoint_explain(const struct container *c, const char *log, struct err *err);
/* pause.c: the mark of a freeze under way. By the holder of the operation. */
int freeze_begin(struct container *c, struct err *err);
void freeze_end(struct container *c);
/*
 * Who freezes or thaws and then says so in the record takes turns: a kill, which has no operation, thaws what a pause may just
 * freeze. Waits for its turn; the holder takes no operation.
 */
void freeze_take(struct container *c);
void freeze_drop(struct container *c);
bool freeze_is_open(const struct container *c);
/* The last daemon ended within a freeze: it goes on. Waits for its shim. */
void freeze_undo(struct container *c);
/* exit.c */
void container_on_exit(void *ctx, const char *container_id, const char *exec_id, const struct shim_exit *ex);
void container_on_oom(void *ctx, const char *container_id, int kills);
/* Takes note of an exit: the caller holds the operation. */
void container_exited_op(struct container *c, const struct shim_exit *ex);
void container_plan_restart(struct container *c, int64_t delay_ns);
/* order.c: what must be there before c is started and outlive it. Each is referenced; needs_free() releases them. */
struct need { struct container *on; bool healthy; };
size_t container_needs(struct container *c, struct need **ret);
void needs_free(struct need *v, size_t len);
/* boot.c: starts c with the daemon if its policy says so, once boot_begin() has been told of all. */
void boot_plan(struct container *c);
void boot_begin(struct container_store *s, struct container **v, size_t n);
/* exec.c */
void exec_on_exit(struct container *c, const char *exec_id, const struct shim_exit *ex);
void execs_forget_unstarted(struct container *c); /* behind the end: those that nobody started */
void execs_end(struct container *c);  /* the container has ended: its execs, too */
void execs_forget(struct container *c);
void execs_list(const struct container *c, struct strv *ret); /* those not over, under c->lock */
/* restore.c: ends what the last daemon ran for a container that is to go. */
void container_end_run(struct container *c);
bool container_has_run_dir(struct container *c);
/* An exec that is over: its exit code. False while it runs, or when it could not be run. */
bool exec_exit_code(struct container_store *s, const char *id, int *ret_code);
void exec_kill(struct container_store *s, const char *id);
void exec_forget(struct container *c, const char *id); /* if it has ended */
/* Of a policy's: where a client has asked for a stop since c->stops was read, it stays stopped. */
int container_restart_unless_stopped(struct container *c, uint64_t stops, struct err *err);
/* health.c: the checks of a container that runs. With fresh, its life has just begun and its state is "starting" again. */
struct health_pool *health_pool_new(struct err *err);
void health_pool_stop(struct health_pool *p); /* calls off what runs, joins; what still ends may speak to it */
void health_pool_free(struct health_pool *p);
void health_begin(struct container *c, bool fresh);
/* Under the lock: no more probes; as in Docker what was checked counts as unhealthy from then on. */
void health_end(struct container *c);
const char *health_word(const struct health_state *h); /* "none" for NULL */
/* remove.c: the caller holds the operation, the container does not run. */
int container_remove_op(struct container *c, bool volumes, struct err *err);
/* stop.c */
int container_signal(struct container *c, int sig, struct err *err);
bool container_wait_stopped(struct container *c, int64_t timeout_ns); /* <0: for ever */
/* Behind a SIGKILL. Where the process is over and its shim does not tell, the shim is ended, too. */
bool container_wait_killed(struct container *c);
/* The signal that stops it; TERM when what the image says is none. */
int container_stop_signal(const struct container *c);
int container_stop_timeout(const struct container *c);

/* inspect.c, list.c: pieces of answers; the encoders run under c->lock. */
void container_encode_labels(const struct strmap *labels, struct jw *w);
void container_encode_networks(const struct container *c, bool full, int api_minor, struct jw *w); /* full: as inspected */
void container_encode_mounts(const struct container *c, struct jw *w);
/* ports.c: those that are open now, and where they are published, by the filters and as lists and inspect show them; under the lock. */
struct filters;
int ports_check(const struct filters *f, const char *key, struct err *err);
bool ports_pass(const struct container *c, const struct filters *f);
void ports_encode_list(const struct container *c, struct jw *w);
void ports_encode_map(const struct container *c, struct jw *w);
void container_sizes(struct container *c, const struct cancel *cancel, int64_t *ret_rw, int64_t *ret_root);

/* work.c: a few threads that come on demand and leave when idle. */
struct work;
struct work *work_new(int max_threads);
void work_stop(struct work *w);       /* runs what is due, joins; may be spoken to until it is freed */
void work_free(struct work *w);       /* runs what is due, drops what is planned, joins */
/* fn runs at mono time due_ns (0: now). drop frees ctx when the queue ends before. */
void work_post(struct work *w, int64_t due_ns, void (*fn)(void *ctx), void (*drop)(void *ctx), void *ctx);
/* Drops what is planned, has not begun and matches. */
void work_cancel(struct work *w, bool (*match)(const void *ctx, const void *key), const void *key);

#endif
