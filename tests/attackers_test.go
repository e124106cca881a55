package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
)

// siege is a scenario: users without privileges attack, by tests/attacker, while
// sessions are opened. What nobody may get or lose is a breach.
type siege struct {
	name   string
	config string
	// exposed: the attacker is the session's own user, or holds something that
	// the session needs; a refusal is then what he asked for. Elsewhere it is a
	// breach: he has denied others their sessions.
	exposed bool
	// leads: he can lead the polydir's path where he likes, in his own session
	// too (decision 8); what counts is what happens to root's things.
	leads   bool
	prepare func(h *host.Host, f *field)
	crews   []crew
	victims []victim
	beside  func(h *host.Host, f *field) // what root does meanwhile, once per round
}

// crew are the moves of one attacker. In a session of his own, if it says so.
type crew struct {
	user    string
	session bool
	moves   []string
}

// victim is a kind of session.
type victim struct {
	user  string
	path  string   // the polydir
	steps []string // before "open"
	more  []string // after it, each of which is judged
	judge func(h *host.Host, f *field, s map[string]host.Step) string
}

// field is what is known during a siege.
type field struct {
	users     map[string]host.User
	forbidden map[string]string // directories that no session may see, by identity
	moved     map[string]int    // root's, that the attacker can move: by handle
	mu        sync.Mutex
	breaches  []string
	opened    int
	refused   int
}

func (f *field) breach(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.breaches) < 1000 {
		f.breaches = append(f.breaches, fmt.Sprintf(format, args...))
	}
}

// forbid notes directories that no session may see at a polydir.
func (f *field) forbid(h *host.Host, paths ...string) {
	for _, p := range paths {
		f.forbidden[h.Place(p)] = p
	}
}

// hold notes a directory of root's with a file in it that the attacker can move.
func (f *field) hold(h *host.Host, path string) {
	h.T.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		h.T.Fatal(err)
	}
	f.moved[path] = fd
}

const (
	reachable = "reach:/var/lib/polyinst/tmp/bob,/var/lib/polyinst/tmp/alice,/var/lib/polyinst/tmp/.lock,/var/lib/polyinst/tmp/.lock/bob,/run/polyinst,/run/polyinst/mnt.1,/srv/roots/private"
	planted   = "plant:/tmp,/srv/roots,alice,bob,.lock,.new.bob,.tmpdir.x,polyinst"
	secret    = "secret-of-bob"
)

var (
	createInHome = strings.ReplaceAll(ownTmp, `"/tmp"`, `"$HOME/d/a"`) + "create = { mode = \"0777\" }\nskel = true\n"
	parentInHome = strings.NewReplacer(`"/tmp"`, `"$HOME/box"`, `"/var/lib/polyinst/tmp/"`, `"$HOME/.inst/"`).Replace(ownTmp) +
		"parent_in_unsafe_dir = true\n"
)

// seesOwn is the judgement of method user below the usual parent.
func seesOwn(h *host.Host, _ *field, s map[string]host.Step) string {
	place, _, _ := strings.Cut(s["look"].Text, " ")
	user := s["names"].Style // set by the runner
	var st unix.Stat_t
	if err := unix.Stat(instance(user), &st); err != nil {
		return fmt.Sprintf("%s has no instance: %v", user, err)
	}
	if want := fmt.Sprintf("%d:%d", st.Dev, st.Ino); place != want {
		return fmt.Sprintf("%s saw %q, his instance is %s", user, place, want)
	}
	for name := range strings.Lines(s["names"].Text) {
		if name = strings.TrimSpace(name); user != "bob" || name != secret {
			return fmt.Sprintf("%s saw the name %q", user, name)
		}
	}
	return ""
}

// seesNothing is the judgement of a fresh instance.
func seesNothing(_ *host.Host, _ *field, s map[string]host.Step) string {
	if names := s["names"].Text; names != "" {
		return fmt.Sprintf("a fresh instance held %q", names)
	}
	return ""
}

var sieges = []siege{
	{
		name: "public directory", config: ownTmp,
		crews: []crew{
			{user: "mallory", moves: []string{planted, "crowd:/tmp", reachable, "spy:" + secret}},
			{user: "alice", moves: []string{planted, reachable, "chmod:/tmp,/var/lib/polyinst/tmp", "attr:/tmp,/srv/roots"}},
		},
		victims: []victim{{user: "alice", path: "/tmp", judge: seesOwn}, {user: "bob", path: "/tmp", judge: seesOwn}},
	},
	{
		name: "instance that is removed", config: tmpdir,
		crews: []crew{
			{user: "alice", moves: []string{"burrow:/srv/roots", planted}},
			{user: "mallory", moves: []string{planted, "spy:" + secret}},
		},
		victims: []victim{
			{user: "alice", path: "/tmp", more: []string{"exec:sleep 0.02"}, judge: seesNothing},
			{user: "bob", path: "/tmp", more: []string{"put:/tmp/" + secret}, judge: seesNothing},
		},
		beside: func(h *host.Host, f *field) {
			if out, err := exec.Command("polyinst", "gc").CombinedOutput(); err != nil {
				f.breach("gc: %v: %s", err, out)
			}
		},
	},
	{
		name: "polydir in $HOME, made", config: createInHome, exposed: true, leads: true,
		prepare: func(h *host.Host, f *field) {
			h.Mkdir("/home/alice/d", 0o755, f.users["alice"].UID, f.users["alice"].UID)
			h.Mkdir("/home/alice/e", 0o755, f.users["alice"].UID, f.users["alice"].UID)
			h.Mkdir("/home/alice/roots", 0o700, 0, 0) // one of root's that she can move
			h.WriteFile("/home/alice/roots/file", "root's", 0o600)
			h.MustRun("ln", "-s", "/srv/roots", "/home/alice/link")
			f.forbid(h, "/home/alice/roots")
			f.hold(h, "/home/alice/roots")
		},
		crews: []crew{{user: "alice", moves: []string{
			"swap:/home/alice/d/a,/home/alice/link", "swap:/home/alice/d/a,/home/alice/roots",
			"churn:/home/alice/d/a,/srv/roots", "swap:/home/alice/d,/home/alice/e", "chmod:/home/alice/e,/home/alice/d/a", "attr:/home/alice,/home/alice/d,/home/alice/d/a",
			"mend:/home/alice/d/a", "mend:/home/alice/d/a"}}},
		victims: []victim{{user: "alice", path: "/home/alice/d/a"}},
	},
	{
		name: "polydir in $HOME, swapped", config: strings.ReplaceAll(ownTmp, `"/tmp"`, `"$HOME/a"`), exposed: true,
		prepare: func(h *host.Host, f *field) {
			for _, d := range []string{"a", "b", "c"} {
				h.Mkdir("/home/alice/"+d, 0o755, f.users["alice"].UID, f.users["alice"].UID)
			}
		},
		crews: []crew{{user: "alice", moves: []string{"swap:/home/alice/a,/home/alice/b", "swap:/home/alice/a,/home/alice/c", "attr:/home/alice,/home/alice/a"}}},
		// outside of the session the three are hers to swap; in it the one that
		// was covered stays covered
		victims: []victim{{user: "alice", path: "/home/alice/a", judge: func(h *host.Host, f *field, s map[string]host.Step) string {
			return ""
		}}},
	},
	{
		name: "instance parent in $HOME", config: parentInHome, exposed: true,
		prepare: func(h *host.Host, f *field) {
			uid := f.users["alice"].UID
			for _, d := range []string{"box", ".mine", ".mine/alice", ".mine/.lock", ".mine/.lock/alice"} {
				h.Mkdir("/home/alice/"+d, 0o700, uid, uid)
			}
			h.Mkdir("/home/alice/.root", 0, 0, 0) // as from another session, which she moved there
			f.forbid(h, "/home/alice/.mine/alice", "/home/alice/.mine", "/home/alice/.root")
		},
		crews: []crew{{user: "alice", moves: []string{
			"swap:/home/alice/.inst,/home/alice/.mine", "swap:/home/alice/.inst,/home/alice/.root",
			"churn:/home/alice/.inst,/srv/roots", "chmod:/home/alice/.mine,/home/alice/box", "attr:/home/alice,/home/alice/.mine,/home/alice/box", "mend:/home/alice/.inst", "mend:/home/alice/.inst"}}},
		victims: []victim{{user: "alice", path: "/home/alice/box", judge: func(h *host.Host, f *field, s map[string]host.Step) string {
			fields := strings.Fields(s["look"].Text)
			if len(fields) < 2 || fields[1] != fmt.Sprint(f.users["alice"].UID) {
				return fmt.Sprintf("an instance that is not alice's: %v", fields)
			}
			return ""
		}}},
	},
	{
		name: "working directory", config: ownTmp,
		prepare: func(h *host.Host, f *field) {
			uid := f.users["alice"].UID
			for _, d := range []string{"/tmp/work", "/tmp/work/a", "/tmp/work/b"} {
				h.Mkdir(d, 0o777, uid, uid)
			}
			f.forbid(h, "/tmp/work", "/tmp/work/a", "/tmp/work/b")
		},
		crews: []crew{{user: "alice", moves: []string{"swap:/tmp/work/a,/tmp/work/b", "chmod:/tmp/work/b", "attr:/tmp/work,/tmp/work/a"}}},
		victims: []victim{{user: "bob", path: "/tmp", steps: []string{"cwd:/tmp/work/a"}, more: []string{"look:."},
			judge: func(h *host.Host, f *field, s map[string]host.Step) string {
				place, _, _ := strings.Cut(s["look:."].Text, " ")
				if place != h.Place("/") {
					return fmt.Sprintf("bob stands in %s", place)
				}
				return seesOwn(h, f, s)
			}}},
	},
	{
		name: "namespaces and process ids", config: nested("replace"),
		prepare: func(h *host.Host, f *field) {
			reusePIDs(h)
		},
		crews: []crew{
			{user: "alice", session: true, moves: []string{"userns:PUBLIC", "hop", "pids", "spy:" + secret, reachable}},
			{user: "alice", moves: []string{"hop", "pids", "spy:" + secret}},
		},
		victims: []victim{{user: "bob", path: "/tmp", judge: seesOwn},
			{user: "alice", path: "/tmp", more: []string{"root-exec:PAMHOST user=bob start open must look:/tmp close end"},
				judge: func(h *host.Host, f *field, s map[string]host.Step) string {
					if inner := s["root-exec"].Text; !strings.Contains(inner, `"`+h.Place(instance("bob"))+" ") {
						return "bob's session in alice's: " + inner
					}
					return seesOwn(h, f, s)
				}}},
		beside: enterAndList,
	},
	{
		name: "setuid host, hunted", config: ownTmp,
		prepare: func(h *host.Host, f *field) {
			h.Sh("cp " + h.Built("pamhost") + " /usr/local/sbin/suhost; chmod 4755 /usr/local/sbin/suhost")
		},
		crews: []crew{
			{user: "alice", moves: []string{"hunt:/usr/local/sbin/suhost,carol,PUBLIC", "hunt:/usr/local/sbin/suhost,carol,PUBLIC", "hunt:/usr/local/sbin/suhost,bob,PUBLIC"}},
		},
		victims: []victim{{user: "bob", path: "/tmp", judge: seesOwn}},
	},
}

// reusePIDs lets process ids come around every few seconds. From Linux 6.14 on
// the limit is the pid namespace's own; before, it is the machine's, and is left
// alone.
func reusePIDs(h *host.Host) {
	h.T.Helper()
	var major, minor int
	_, err := fmt.Sscanf(h.ReadFile("/proc/sys/kernel/osrelease"), "%d.%d", &major, &minor)
	if err != nil || major < 6 || major == 6 && minor < 14 {
		h.T.Log("process ids are not reused here: before Linux 6.14 their limit is the machine's")
		return
	}
	h.Sh("echo 1200 > /proc/sys/kernel/pid_max")
}

// enterAndList is the administrator with the command, while a user hops through
// namespaces: he must never come to stand in one of the user's own.
func enterAndList(h *host.Host, f *field) {
	ours, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		f.breach("%v", err)
	}
	_, _ = exec.Command("polyinst", "list").CombinedOutput()
	out, err := exec.Command("polyinst", "enter", "alice", "--", "sh", "-c", "readlink /proc/self/ns/user; stat -c %d:%i /tmp /etc").Output()
	if err != nil {
		return
	}
	if want := ours + "\n" + h.Place(instance("alice")) + "\n" + h.Place("/etc") + "\n"; string(out) != want {
		f.breach("enter led to %q, want %q", out, want)
	}
}

// The number of sessions of each siege: `make attacks` sets thousands.
func sessions(short int) int {
	if n, err := strconv.Atoi(os.Getenv("POLYINST_TEST_ATTACKS")); err == nil {
		return n
	}
	return short
}

const perHost = 10 // sessions that one host process opens, each in a child

// Every siege has no breach: no session sees another directory than its own,
// nothing of root's is changed, nobody's file is read, nobody is kept out by
// others, and nothing is left behind.
func TestAttackers(t *testing.T) {
	for _, s := range sieges {
		t.Run(s.name, func(t *testing.T) {
			n := sessions(20)
			host.Run(t, func(h *host.Host) { s.run(h, n) }, host.Within(2*time.Minute+time.Duration(n)*time.Second))
		})
	}
}

func (s *siege) run(h *host.Host, n int) {
	h.T.Helper()
	install(h, s.config)
	h.PAM("pamhost", host.Stack(session)...)
	f := &field{users: map[string]host.User{}, forbidden: map[string]string{}, moved: map[string]int{}}
	for _, name := range []string{"alice", "bob", "carol", "mallory"} {
		f.users[name] = h.AddUser(name)
	}
	h.Mkdir("/srv/roots", 0o755, 0, 0)
	h.WriteFile("/srv/roots/deep/file", "root's", 0o600)
	h.WriteFile("/srv/roots/file", "root's", 0o600)
	h.Mkdir("/srv/roots/private", 0o700, 0, 0)
	if strings.Contains(s.config, `"user"`) && strings.Contains(s.config, `"/tmp"`) {
		// bob has an instance with a secret in it
		h.PamHost("user=bob", "start", "open", "root-exec:umask 077; echo secret > /tmp/"+secret+"; chown bob /tmp/"+secret, "close", "end").RC("open", 0)
	}
	if s.prepare != nil {
		s.prepare(h, f)
	}
	public := "/tmp"
	f.forbid(h, "/tmp", "/srv/roots", "/srv/roots/deep", "/srv/roots/private")
	before, mounts := f.manifest(h), h.ReadFile("/proc/1/mountinfo")

	if s.exposed {
		s.open(h, f, perHost) // she may spoil all that follow
	}
	var attackers []*host.Process
	for _, c := range s.crews {
		attackers = append(attackers, s.attack(h, f, c, h.Place(public)))
	}
	s.open(h, f, n)
	tried, done := 0, 0
	for _, a := range attackers {
		a.CloseInput()
		t, d := s.outcome(f, a.Wait())
		tried, done = tried+t, done+d
	}

	if after := f.manifest(h); after != before {
		f.breach("what is root's has changed:\nbefore:\n%s\nafter:\n%s", before, after)
	}
	if now := h.ReadFile("/proc/1/mountinfo"); now != mounts {
		f.breach("the host's mounts have changed:\n%s", now)
	}
	if out, err := exec.Command("polyinst", "gc").CombinedOutput(); err != nil && !s.exposed {
		f.breach("gc afterwards: %v: %s", err, out)
	}
	for _, name := range h.Names(parent) {
		if strings.HasPrefix(name, ".") && name != ".lock" {
			f.breach("left behind: %s", name)
		}
	}
	if left := remaining("pamhost", "suhost"); len(left) > 0 {
		f.breach("processes left behind: %v\n%s", left, h.Processes())
	}
	if !s.exposed && f.refused > 0 {
		f.breach("%d sessions of others were refused", f.refused)
		for _, l := range h.ModuleLog() {
			if l.Severity <= 3 {
				f.breach("%s", l)
				break
			}
		}
	}
	h.T.Logf("| %-28s | %8s | %8s | %8s | %9s | %9s | %8s |\n| %-28s | %8d | %8d | %8d | %9d | %9d | %8d |", "attack", "sessions", "opened", "refused", "attempts", "succeeded", "breaches",
		s.name, f.opened+f.refused, f.opened, f.refused, tried, done, len(f.breaches))
	for reason, n := range reasons(h) {
		h.T.Logf("refused %d times: %s", n, reason)
	}
	if f.opened == 0 {
		h.T.Error("no session was opened: nothing is shown")
	}
	for _, b := range f.breaches[:min(len(f.breaches), 10)] {
		h.T.Errorf("breach: %s", b)
	}
}

// attack starts a crew.
func (s *siege) attack(h *host.Host, f *field, c crew, public string) *host.Process {
	h.T.Helper()
	var args []string
	for _, m := range c.moves {
		args = append(args, strings.ReplaceAll(m, "PUBLIC", public))
	}
	if !c.session {
		p := h.Command(append([]string{h.Built("attacker")}, args...)...).As(f.users[c.user]).Start()
		p.Expect("attacking")
		return p
	}
	command := h.Built("attacker") + " '" + strings.Join(args, "' '") + "'"
	p := h.PamHostCommand("user="+c.user, "start", "open", "exec:echo ready", "exec:"+command, "close", "end").Start()
	p.Expect("ready")
	return p
}

// outcome adds up what a crew prints at its end.
func (s *siege) outcome(f *field, r host.Result) (tried, done int) {
	text := r.Stdout
	for line := range strings.Lines(r.Stdout) {
		var step host.Step // of a crew in a session
		if json.Unmarshal([]byte(line), &step) == nil && step.Step == "exec" {
			text += "\n" + step.Text + "\n"
		}
	}
	found := false
	for line := range strings.Lines(text) {
		var o struct {
			Move        string
			Tried, Done int
			Breaches    []string
		}
		if json.Unmarshal([]byte(line), &o) != nil || o.Move == "" {
			continue
		}
		found = true
		tried, done = tried+o.Tried, done+o.Done
		for _, b := range o.Breaches {
			f.breach("%s: %s", o.Move, b)
		}
		if o.Tried == 0 {
			f.breach("the move %s was never made", o.Move)
		}
	}
	if !found {
		f.breach("an attacker ended early: %s", r)
	}
	return tried, done
}

// open opens the sessions, two hosts at a time.
func (s *siege) open(h *host.Host, f *field, n int) {
	h.T.Helper()
	work := make(chan victim)
	var hosts sync.WaitGroup
	pamhost := h.Built("pamhost")
	for range 2 {
		hosts.Go(func() {
			for v := range work {
				s.round(h, f, v, pamhost)
				if s.beside != nil {
					s.beside(h, f)
				}
			}
		})
	}
	for i := 0; i < n; i += perHost {
		work <- s.victims[i/perHost%len(s.victims)]
	}
	close(work)
	hosts.Wait()
}

// round is one host, which opens some sessions in children.
func (s *siege) round(h *host.Host, f *field, v victim, pamhost string) {
	args := slices.Concat([]string{"user=" + v.user, "start"}, v.steps)
	for range perHost {
		args = slices.Concat(args, []string{"fork", "open", "must", "look:" + v.path, "names:" + v.path}, v.more, []string{"close", "join"})
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "PAMHOST", pamhost)
	}
	cmd := exec.Command(pamhost, append(args, "end")...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		f.breach("start a host: %v", err)
		return
	}
	timer := time.AfterFunc(6*host.Patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	if !timer.Stop() {
		f.breach("a host hung: %s", stdout.String())
	}
	if err != nil && !strings.Contains(stderr.String(), "/tmp/work") { // it was away at that moment
		f.breach("a host died: %v: %s", err, stderr.String())
	}
	s.judge(h, f, v, stdout.String())
}

// judge looks at what each session of a host saw.
func (s *siege) judge(h *host.Host, f *field, v victim, out string) {
	children := map[int]map[string]host.Step{}
	for line := range strings.Lines(out) {
		var step host.Step
		if json.Unmarshal([]byte(line), &step) != nil {
			f.breach("not a step: %s", line)
			continue
		}
		if children[step.Pid] == nil {
			children[step.Pid] = map[string]host.Step{}
		}
		name := step.Step
		if _, again := children[step.Pid][name]; again && name == "look" {
			name = "look:."
		}
		step.Style = v.user
		children[step.Pid][name] = step
	}
	for _, steps := range children {
		opened, ok := steps["open"]
		if !ok {
			continue // the host itself
		}
		f.mu.Lock()
		if opened.RC == 0 {
			f.opened++
		} else {
			f.refused++
		}
		f.mu.Unlock()
		if opened.RC != 0 {
			continue
		}
		look, ok := steps["look"]
		place, _, _ := strings.Cut(look.Text, " ")
		switch {
		case !ok || look.RC != 0:
			// the path can be led away by its owner, who then sees nothing
			if !s.exposed {
				f.breach("%s could not look at %s: %s", v.user, v.path, look.Text)
			}
		case f.forbidden[place] != "" && !s.leads:
			f.breach("%s saw %s at %s", v.user, f.forbidden[place], v.path)
		case v.judge != nil:
			if what := v.judge(h, f, steps); what != "" {
				f.breach("%s", what)
			}
		}
		if c, ok := steps["close"]; ok && c.RC != 0 {
			f.breach("close returned %d", c.RC)
		}
	}
}

// manifest is all that is to be known of what is root's: one line per file.
func (f *field) manifest(h *host.Host) string {
	h.T.Helper()
	var b strings.Builder
	add := func(name, path string, changes bool) {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			fmt.Fprintf(&b, "%s %v\n", name, err)
			return
		}
		content := ""
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			text, _ := os.ReadFile(path)
			content = fmt.Sprintf("%x", sha256.Sum256(text))[:16]
		case unix.S_IFLNK:
			content, _ = os.Readlink(path)
		}
		fmt.Fprintf(&b, "%s %o %d:%d links %d %s", name, st.Mode, st.Uid, st.Gid, st.Nlink, content)
		if changes { // that he can move changes its ctime
			fmt.Fprintf(&b, " changed %d.%09d", st.Ctim.Sec, st.Ctim.Nsec)
		}
		b.WriteByte('\n')
	}
	for _, top := range []string{"/srv", "/etc/security", "/etc/passwd", "/etc/shadow", "/etc/pam.d", "/var/lib/polyinst"} {
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(path, "/var/lib/polyinst/") {
				return filepath.SkipDir // what sessions make
			}
			add(path, path, path != "/var/lib/polyinst")
			return nil
		})
	}
	for name, fd := range f.moved {
		add(name, fmt.Sprintf("/proc/self/fd/%d/.", fd), false)
		add(name+"/file", fmt.Sprintf("/proc/self/fd/%d/file", fd), true)
	}
	return b.String()
}

// reasons counts why sessions were refused.
func reasons(h *host.Host) map[string]int {
	out := map[string]int{}
	for _, l := range h.ModuleLog() {
		if _, why, ok := strings.Cut(l.Text, "session refused for "); ok && l.Severity <= 3 {
			out[why]++
		}
	}
	return out
}

// remaining are the processes that still run under one of the names, after those
// that end had time to.
func remaining(names ...string) []string {
	var left []string
	for end := time.Now().Add(host.Patience); time.Now().Before(end); {
		left = nil
		comms, _ := filepath.Glob("/proc/[0-9]*/comm")
		for _, c := range comms {
			name, err := os.ReadFile(c)
			if err == nil && slices.Contains(names, strings.TrimSpace(string(name))) {
				left = append(left, filepath.Dir(c))
			}
		}
		if len(left) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return left
}
