package attackers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// hostile is what whoever starts a setuid host chooses for it.
type hostile struct {
	name   string
	env    []string
	under  []string // words before the host's own
	steps  []string // in the host, before the session
	dir    string
	silent bool // nothing can be read of its steps
	refuse bool // it may be refused: then before anything is made
}

// every are steps with each of the signals.
func every(step string) []string {
	var out []string
	for n := 1; n <= 64; n++ {
		if n != 9 && n != 19 && n != 32 && n != 33 { // KILL, STOP and libc's own
			out = append(out, fmt.Sprintf("%s:%d", step, n))
		}
	}
	return out
}

var hostileHosts = []hostile{
	{name: "Go's variables", env: []string{"GODEBUG=inittrace=1,gctrace=1,madvdontneed=1,schedtrace=1", "GOGC=1", "GOMEMLIMIT=1", "GOMAXPROCS=10000",
		"GOTRACEBACK=crash", "GORACE=log_path=/tmp/race", "GOCOVERDIR=/tmp"}},
	{name: "the dynamic loader's", env: []string{"LD_PRELOAD=/tmp/evil.so", "LD_LIBRARY_PATH=/tmp", "LD_AUDIT=/tmp/evil.so", "LD_DEBUG=all",
		"LD_DEBUG_OUTPUT=/home/alice/ld", "LD_BIND_NOW=", "LD_PROFILE=libc.so.6"}},
	{name: "malloc's", env: []string{"MALLOC_CHECK_=3", "MALLOC_PERTURB_=165", "MALLOC_TRACE=/tmp/trace", "MALLOC_ARENA_MAX=0",
		"GLIBC_TUNABLES=glibc.malloc.check=3:glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=1"}},
	{name: "libc's", env: []string{"TZ=:/etc/shadow", "LOCPATH=/tmp", "LC_ALL=../../tmp/x", "NLSPATH=/tmp/%N", "TMPDIR=/tmp/evil", "HOSTALIASES=/etc/shadow",
		"RESOLV_HOST_CONF=/etc/shadow", "GETCONF_DIR=/tmp", "GCONV_PATH=/tmp", "NIS_PATH=/tmp", "LOCALDOMAIN=x"}},
	{name: "the shell's", env: []string{"PATH=/home/alice", "IFS=/", "ENV=/home/alice/env", "BASH_ENV=/home/alice/env", "SHELLOPTS=xtrace", "PS4=$(id)"}},
	{name: "very many", env: many()},
	{name: "no descriptor 0", steps: []string{"closefd:0"}},
	{name: "no descriptor 1", steps: []string{"mute", "closefd:1"}, silent: true},
	{name: "no descriptor 2", steps: []string{"closefd:2"}},
	{name: "no descriptors 0 to 2", steps: []string{"mute", "closefd:0", "closefd:1", "closefd:2"}, silent: true},
	{name: "all signals blocked", steps: every("sigblock")},
	{name: "all signals ignored", steps: every("sigign")},
	{name: "umask 0", steps: []string{"umask:0"}},
	{name: "umask 0777", steps: []string{"umask:777"}},
	{name: "working directory removed", steps: []string{"cwd:/home/alice/gone", "root-exec:rmdir /home/alice/gone"}},
	{name: "working directory in the polydir", dir: "/tmp/work"},
	{name: "working directory that is the polydir", dir: "/tmp"},
	{name: "no memory for the worker", steps: []string{"rlimit:as=50000000,50000000"}, refuse: true},
	{name: "no stack", steps: []string{"rlimit:stack=16384,16384"}, refuse: true},
	{name: "no processes", steps: []string{"rlimit:nproc=0,0"}, refuse: true},
	{name: "no files", steps: []string{"rlimit:nofile=4,4"}, refuse: true},
	{name: noFileSize, steps: []string{"rlimit:fsize=0,0"}, refuse: true},
	{name: "no time", steps: []string{"rlimit:cpu=1,1"}, refuse: true},
	{name: "no data", steps: []string{"rlimit:data=1,1"}, refuse: true},
	{name: "no pending signals", under: []string{"prlimit", "--sigpending=0:0"}, refuse: true},
	{name: "no locked memory, no message queues", under: []string{"prlimit", "--memlock=0:0", "--msgqueue=0:0", "--locks=0:0", "--nice=0:0", "--rtprio=0:0", "--rttime=1:1"}},
	{name: "few descriptors", under: []string{"prlimit", "--nofile=10:10"}, refuse: true},
	{name: "idle", under: []string{"chrt", "-i", "0", "nice", "-n", "19", "ionice", "-c", "3", "taskset", "-c", "0", "choom", "-n", "1000", "--"}},
	{name: "a batch", under: []string{"chrt", "-b", "0"}},
}

const noFileSize = "no file size"

func many() []string {
	var out []string
	for i := range 2000 {
		out = append(out, fmt.Sprintf("V%d=%s", i, strings.Repeat("x", 50)))
	}
	return out
}

// A host that a user starts with what they like opens the session that it would
// have opened, or refuses it; a setuid one, and one that root is made to start
// with the user's environment. It is itself as before.
func TestHostileHosts(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("carol")
		h.Sh("cp " + h.Built("pamhost") + " /usr/local/sbin/suhost; chmod 4755 /usr/local/sbin/suhost")
		h.Mkdir("/tmp/work", 0o777, alice.UID, alice.UID)
		h.PamHost("user=carol", "start", "open", "close", "end").RC("open", 0)
		for i, c := range hostileHosts {
			if c.name == noFileSize && host.ServesAll() {
				continue // the session is opened, and it is the host that cannot write the proof
			}
			for _, program := range []string{"/usr/local/sbin/suhost", h.Built("pamhost")} {
				h.Mkdir("/home/alice/gone", 0o700, alice.UID, alice.UID)
				what := fmt.Sprintf("%s, %s", c.name, program)
				proof := fmt.Sprintf("/tmp/proof-%d-%t", i, strings.HasSuffix(program, "suhost"))
				steps := slices.Concat(c.under, []string{program, "user=carol", "start"}, c.steps)
				if !c.refuse { // with such limits no snapshot can be taken either
					steps = append(steps, "snapshot:before", "open", "must", "snapshot:open")
				} else {
					steps = append(steps, "open", "must")
				}
				steps = append(steps, "look:/tmp", "look:.", "put:"+proof, "close", "end")
				cmd := h.Command(steps...)
				if strings.HasSuffix(program, "suhost") {
					cmd.As(alice)
				}
				if c.dir != "" {
					cmd.Dir(c.dir)
				}
				tr := cmd.Env(c.env...).Trace()
				opened := h.Exists(kit.Instance("carol") + strings.TrimPrefix(proof, "/tmp"))
				if h.Exists(proof) {
					t.Errorf("%s: the session was in the public directory", what)
				}
				if !opened && !c.refuse {
					t.Errorf("%s: the session was refused", what)
				}
				if c.silent || !opened {
					continue
				}
				if !c.refuse {
					h.Unchanged(what, tr.Snapshot("before"), tr.Snapshot("open"), host.View...)
				}
				at := tr.All("look")
				kit.InInstance(h, what, "carol", strings.Fields(at[0].Text)[0])
				if cwd, _, _ := strings.Cut(at[1].Text, " "); cwd == h.FileID("/tmp") || cwd == h.FileID("/tmp/work") {
					t.Errorf("%s: the working directory is a public one", what)
				}
			}
		}
		if names := h.Names("/tmp"); len(names) != 1 { // work
			t.Errorf("written to the public directory: %q", names)
		}
		if left := kit.StillRunning("pamhost", "suhost"); len(left) > 0 {
			t.Errorf("processes left behind: %v", left)
		}
	})
}
