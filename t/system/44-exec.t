#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Execs by the shim and by the runtime: what a process sees is the same, over containers and execs of every kind; what fails, fails in the
# same words. Then what only the shim's own way could break: races, leaks, the daemon's death, the container looking at it.
. "$(dirname "$0")/lib.sh" || exit 1
need_root
need curl runc python3
find_docker
scratch
RUNC=$(command -v runc)
# counts what the runtime is asked for
mkdir -p "$WORK/bin"
printf '#!/bin/sh\ncase " $* " in *" exec "*) echo "$*" >> %s/execs ;; esac\nexec %s "$@"\n' "$WORK" "$RUNC" > "$WORK/bin/runc"
chmod 755 "$WORK/bin/runc"
export PATH="$WORK/bin:$PATH"
# ThreadSanitizer gives the shim a second thread, and what has two joins no mount namespace: the runtime does all then.
threads_join() {
	grep -qa __tsan_init "$DOCKERD" || return 0
	docker exec "$1" true
	grep -q 'by the runtime: join the namespaces' "$WORK/log" || return 0
	skip "execs by the shim" "it has a thread of ThreadSanitizer's"
	docker ps -aq | xargs -r "$DOCKER" -H "unix://$SOCK" rm -f > /dev/null
	done_testing
}
runtime_execs() { cat "$WORK/execs" 2>/dev/null | wc -l; }
hup() { # content
	_before=$(grep -c "Got signal to reload" "$WORK/log")
	printf '%s' "$1" > "$WORK/daemon.json"
	kill -HUP "$DPID"
	for _i in $(seq $((100 * DKD_SLOW))); do
		[ "$(grep -c "Got signal to reload" "$WORK/log")" -gt "$_before" ] && break
		sleep 0.05
	done
	sleep 0.3
}
native() { hup '{"features":{"native-exec":true}}'; }
by_runtime() { hup '{"features":{"native-exec":false}}'; }

printf '{}' > "$WORK/daemon.json"
start_daemon -D; ok "starts" || done_testing
load_busybox > /dev/null; ok "an image"

# what is common to all: files, and what looks around
cat > "$WORK/look" <<'E2'
#!/bin/sh
exec 2>&1
p=$$
cd -P . && echo "args: $0 $*; cwd $PWD $(readlink /proc/$p/cwd) root $(readlink /proc/$p/root) exe $(readlink /proc/$p/exe)"
umask
grep -E '^(Umask|Uid|Gid|Groups|Sig[BIC]|ShdPnd|Cap|NoNew|Seccomp|Spec|THP|Cpus_allowed_l|Mems_allowed_l|CoreD|Threads|TracerPid|PPid)' /proc/$p/status
(cd /proc/$p && ls -l ns | awk '{ print $9, $11 }'; grep . limits cgroup oom_score_adj personality coredump_filter attr/current loginuid sessionid timerslack_ns \
	setgroups uid_map comm mountinfo fdinfo/0 fdinfo/1 fdinfo/2) | grep -v -E 'fdinfo.*(mnt_id|ino|pos):'
tr '\0' '\n' < /proc/$p/environ
ls -l /proc/$p/fd
stat -L -c '%u %g %a %F' /proc/$p/fd/0 /proc/$p/fd/1 /proc/$p/fd/2 | sed 's/^[0-9]* [0-9]* 666 ch/null ch/'
# group, session, terminal by whether they are its own; priority, nice
read -r _ _ _ _ g s t f rest < /proc/$p/stat
echo "group $((g == p)) session $((s == p)) terminal $t foreground $((f == p))"
set -- $rest; echo "priority ${10} ${11}"
[ ! -t 0 ] || { tty; stty -a; ls -l "$(tty)" | awk '{ print $1, $3, $4 }'; }
awk -v own="_ses.$(hostname)" 'index($0, own) { print $1, $4, $5, $6, $7, $8, $9 }' /proc/keys
E2
chmod 755 "$WORK/look"
cat > "$WORK/profile.json" <<'E2'
{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":13},
{"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"},{"index":0,"value":3,"op":"SCMP_CMP_EQ"}]},
{"names":["personality"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":0,"value":255,"valueTwo":7,"op":"SCMP_CMP_MASKED_EQ"}]}]}
E2
# a default that refuses, its own architectures, and rules of the same call
python3 - > "$WORK/strict.json" <<'E2'
import json
names = """read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn ioctl pread64
 readv writev access pipe select sched_yield mremap dup dup2 nanosleep getpid sendfile clone fork vfork execve exit wait4 kill uname fcntl
 getdents getcwd chdir readlink chmod fchown umask gettimeofday getrlimit getuid getgid setuid setgid geteuid getegid setpgid getppid
 getpgrp setsid setgroups getgroups capget capset prctl arch_prctl gettid futex sched_getaffinity getdents64 set_tid_address
 clock_gettime clock_nanosleep exit_group epoll_wait epoll_ctl tgkill openat newfstatat readlinkat faccessat pselect6 ppoll
 set_robust_list epoll_pwait epoll_create1 dup3 pipe2 prlimit64 getrandom seccomp statx rseq close_range faccessat2 sigaltstack madvise
 statfs fstatfs keyctl fchdir setresuid setresgid""".split()
print(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 95, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
    "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"},
    {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 1, "op": "SCMP_CMP_NE"}]},
    {"names": ["mkdir"], "action": "SCMP_ACT_LOG"}, {"names": ["no_such_call"], "action": "SCMP_ACT_ALLOW"}]}))
E2

N=0
OPTS=()
WAYS=()
c() { # run options: a container
	N=$((N + 1))
	OPTS[N]="$*"
	docker run -d --name "c$N" -v "$WORK/look:/look:ro" -v "$WORK/look:/usr/bin/look:ro" --stop-timeout 0 "$@" busybox:latest sleep 3600 > "$WORK/out" 2>&1 || { cat "$WORK/out"; OPTS[N]="failed: $*"; }
}
c --ulimit nofile=512:512
c --privileged
c --user 1000:1000
c --user daemon --group-add users --group-add 4711
c --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-drop CHOWN
c --cap-drop ALL
c --security-opt no-new-privileges --user 65534
c --security-opt seccomp=unconfined
c --security-opt "seccomp=$WORK/profile.json"
c --security-opt "seccomp=$WORK/strict.json" --security-opt no-new-privileges
c --ulimit nofile=1000:1000 --ulimit core=0 --ulimit stack=4194304:-1 --ulimit nproc=2000:3000 --oom-score-adj 321
c --pids-limit 8 --memory 64m --cpus 0.5 --cpuset-cpus 0 -e A=1 -e "B=a b" -e HOME=/elsewhere
c --read-only --tmpfs /tmp -w /made/for/it --hostname other --domainname example.org
c --pid host --ipc host --uts host --network host
c --ipc shareable --network none --cgroupns host
c --cgroupns private --init --shm-size 1m
c --ipc private --network none --oom-score-adj 500 --cgroup-parent /dkd-exec-test --sysctl net.ipv4.ip_forward=0
c --privileged --user 1000 --cap-drop NET_RAW --ipc none
c --device /dev/null:/dev/other --device-cgroup-rule 'c 1:3 r' --blkio-weight 300 --mount type=tmpfs,dst=/t -e PATH=/nowhere:/bin
c --pid container:c1 --network container:c1 --ipc container:c15
is "$(docker ps -q | wc -l)" "$N" "$N containers of every kind run"

# Through a CLI with a terminal of its own: NAME [exec options] -- command
terminal() {
	python3 - "$DOCKER" -H "unix://$SOCK" exec -it "$@" <<'E2'
import os, pty, sys, fcntl, termios, struct
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
out = b""
while True:
    try: d = os.read(fd, 65536)
    except OSError: break
    if not d: break
    out += d
# the client's own word where the process was slow to come: its size came with the start
lines = [l for l in out.decode().replace("\r", "").splitlines(True) if not l.startswith("failed to resize tty")]
sys.stdout.write("".join(lines))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
E2
}
looks() { # to a folder
	mkdir -p "$WORK/$1"
	for _n in $(seq "$N"); do
		docker exec "c$_n" /look > "$WORK/$1/$_n" 2>&1
		echo "$?" >> "$WORK/$1/$_n"
	done
	for _n in 1 4 6 10; do docker exec --privileged "c$_n" /look privileged > "$WORK/$1/privileged-$_n" 2>&1; done
	for _n in 1 2 6; do docker exec -u 1000 "c$_n" /look > "$WORK/$1/user-$_n" 2>&1; done
	docker exec -u daemon:users -w /tmp -e NEW=1 -e A=2 -e PATH=/bin:/usr/bin c12 look > "$WORK/$1/words" 2>&1
	docker exec -u nobody c2 sh -c 'exec /look "$@"' sh a b > "$WORK/$1/nobody" 2>&1
	echo in | docker exec -i c3 sh -c 'cat; /look' > "$WORK/$1/stdin" 2>&1
	# who may change to it only as the user, and who only as root
	docker exec -u 1000 -w /root c1 /look > "$WORK/$1/rootonly" 2>&1
	docker exec c6 sh -c 'true' > /dev/null 2>&1
	for _n in 1 2 3 10; do terminal "c$_n" /look > "$WORK/$1/tty-$_n" 2>&1; done
	terminal -u 1000 -e TERM=vt100 c5 sh -c '/look; stty size' > "$WORK/$1/tty-user" 2>&1
	# times, numbers of pipes
	sed -i -E 's/ [A-Z][a-z]{2} +[0-9]+ [0-9:]+ / /; s/\[[0-9]+\]$/[]/; s,^(.* )?/proc/[0-9]+/fd,fd,; s/^PPid:.[1-9].*/PPid: of the host/' "$WORK/$1"/*
}
fails() { # to a file
	: > "$WORK/$1"
	f() { docker exec "$@" >> "$WORK/$1.out" 2>&1; }
	while read -r _args; do
		# shellcheck disable=SC2086
		docker exec $_args >> "$WORK/$1" 2>&1 < /dev/null
		echo "$? $_args" >> "$WORK/$1"
	done <<'E2'
c1 nosuch
c1 /no/such
c1 ./nosuch
c1 /etc/passwd
c1 passwd
c1 /tmp
c1 /etc/passwd/x
-w /nosuch c1 true
-w /etc/passwd c1 true
-w /proc/self/fd/3 c1 true
-w /proc/self/fd/7/.. c1 pwd
-u nosuch c1 true
-u 1000:nosuch c1 true
-u 4294967296 c1 true
-w /root -u 1000 c6 ls
-u 1000 c1 /bad/secret
c1 /bad/script
c1 /bad/binary
c1 /bad/loop
c1 /bad/fifo
-e PATH= c1 true
-e PATH=.:/bin c1 true
-e PATH=bin:/bin c1 sh
-e PATH=/bin/../bin c1 true
-e HOME= c1 env
-it c1 true
c1 sh -c exit\ 7
c1 sh -c kill\ -9\ $$
c19 true
c9 mkdir /tmp/x
E2
}
docker exec c1 sh -c 'mkdir -m 755 /bad; echo "#!/no/interpreter" > /bad/script; echo garbage > /bad/binary; ln -s loop /bad/loop; mkfifo /bad/fifo
	cp /bin/busybox /bad/secret; chmod 700 /bad/secret; chmod 755 /bad/[sbf]*; chmod 700 /bad/secret; mkdir /bin2'
threads_join c1
: > "$WORK/execs"
looks native
is "$(cat "$WORK/execs")" "" "the shim does all of these itself"
# what a container has its execs have: all of a privileged one
for n in 1 2 5 6; do
	is "$(docker exec "c$n" grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status)" "$(docker exec "c$n" grep -E '^Cap(Prm|Eff|Bnd)' /proc/1/status)" "capabilities as its first process: ${OPTS[n]}"
done
is "$(grep 'by the runtime' "$WORK/log")" "" "and the log tells of none that it could not"
fails failures-native
for n in 1 8 9 10 2; do docker exec -d "c$n" sleep "5550$n"; done
by_runtime
: > "$WORK/execs"
looks runtime
[ "$(runtime_execs)" -gt "$N" ]; ok "with the feature off the runtime does them"
fails failures-runtime
for n in 1 8 9 10 2; do docker exec -d "c$n" sleep "5551$n"; done
for n in $(seq "$N"); do
	is "$(diff "$WORK/native/$n" "$WORK/runtime/$n")" "" "the same: ${OPTS[n]}"
done
for f in "$WORK"/native/*[a-z]*; do
	is "$(diff "$f" "$WORK/runtime/${f##*/}")" "" "the same: an exec of the kind ${f##*/}"
done
is "$(cat "$WORK"/native/[0-9]* | grep -c '^Seccomp_filters:.1$')" "$(cat "$WORK"/runtime/[0-9]* | grep -c '^Seccomp_filters:.1$')" "as many filters"
like "$(cat "$WORK/native/1")" '^args: /look' "they say something"
like "$(cat "$WORK/native/2")" '_ses\.' "of the session's keyring, too"
like "$(cat "$WORK/native/tty-1")" 'rows 33; columns 99|^/dev/pts/' "and of terminals"
is "$(diff "$WORK/failures-native" "$WORK/failures-runtime")" "" "what fails, fails alike"
like "$(cat "$WORK/failures-native")" 'executable file not found' "in the runtime's words"

# the filters themselves, as the kernel has them
if ${CC:-cc} -O2 -w -o "$WORK/filters" "$top_srcdir/t/tools/filters.c" 2> /dev/null; then
	for n in 1 9 10; do
		out=$("$WORK/filters" "$(pgrep -f "^sleep 5550$n\$" | head -n1)" "$(pgrep -f "^sleep 5551$n\$" | head -n1)")
		st=$?
		[ $st = 77 ] && { skip "the same filter: ${OPTS[n]}" "$out"; continue; }
		is "$st" 0 "the same filter: ${OPTS[n]} ($(printf '%s' "$out" | tail -n1))"
	done
else
	skip "the same filters" "no compiler"
fi
native
docker rm -f $(docker ps -aq) > /dev/null; ok "rm"
done_testing
