package attackers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// soakConfig has every kind of instance; soakConfigs are what the administrator
// changes it to meanwhile. The three are private in all of them.
const soakConfig = kit.OwnTmp + `
[[polydir]]
path            = "/var/tmp"
instance_prefix = "/var/lib/polyinst/var-tmp/"
method          = "tmpdir"

[[polydir]]
path   = "/srv/shm"
method = "tmpfs"
tmpfs  = { size = "1M" }
`

var soakConfigs = []string{
	soakConfig,
	"[namespace]\nnested = \"keep\"\n" + soakConfig,
	"[namespace]\npropagation = \"private\"\n" + soakConfig,
	soakConfig + "create = { mode = \"0700\" }\n",
	soakConfig + "colour = \"red\"\n", // refused
}

// soak is what is known of a soak.
type soak struct {
	h       *host.Host
	end     time.Time
	mu      sync.Mutex
	written map[string]string // files that a session has written: path of the instance's file, user
	uids    map[string]uint32
	opened  int
	refused map[string]int
	silent  int // hosts that were killed before they could say anything
	kills   map[string]int
	gc      int
	changes int
	filled  int
	files   int       // written in all
	service *exec.Cmd // the ready workers', where they serve
}

// disk is what the instances lie on: small, so that it can be filled.
const disk = host.Parents

// Many logins of few users at once, while hosts and workers are killed, the
// configuration is changed, gc runs, the disk is full and empty again, and, where
// ready workers serve, these and their service are killed, stopped, told to begin
// anew and started again. Afterwards nothing is left and nothing is lost. `make soak`
// does so for minutes.
func TestSoak(t *testing.T) {
	long, err := strconv.Atoi(os.Getenv("POLYINST_TEST_SOAK"))
	at := 64
	if err != nil {
		long, at = 2, 16
	}
	host.Run(t, func(h *host.Host) {
		h.MustRun("mkdir", "-p", disk)
		h.MustRun("mount", "-t", "tmpfs", "-o", "mode=755,size=16m,nr_inodes=4000", "disk", disk)
		kit.Install(h, soakConfig)
		h.Mkdir("/srv/shm", 0o1777, 0, 0)
		h.PAM("pamhost", host.Stack(kit.Session)...)
		h.PAM("su", host.Stack(kit.Session)...)
		s := &soak{h: h, written: map[string]string{}, uids: map[string]uint32{}, refused: map[string]int{}, kills: map[string]int{}}
		var users []string
		for i := range 8 {
			u := h.AddUser(fmt.Sprintf("user%d", i))
			users, s.uids[u.Name] = append(users, u.Name), uint32(u.UID)
		}
		s.run(users, at, time.Duration(long)*time.Second)
		s.judge(users)
	}, host.Within(time.Duration(long)*time.Second+3*time.Minute))
}

func (s *soak) run(users []string, at int, long time.Duration) {
	s.h.T.Helper()
	mounts := s.h.ReadFile("/proc/1/mountinfo")
	s.end = time.Now().Add(long)
	pamhost := s.h.Built("pamhost")
	var logins, others sync.WaitGroup
	for i := range at {
		logins.Go(func() {
			for n := 0; n == 0 || time.Now().Before(s.end); n++ {
				s.login(pamhost, users[rand.IntN(len(users))], fmt.Sprintf("f-%d-%d", i, n))
			}
		})
	}
	over := make(chan struct{})
	loop := func(pause time.Duration, f func()) {
		others.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(pause):
					f()
				}
			}
		})
	}
	loop(20*time.Millisecond, s.kill)
	loop(100*time.Millisecond, s.collect)
	loop(50*time.Millisecond, s.change)
	loop(300*time.Millisecond, s.fill)
	loop(100*time.Millisecond, s.forget)
	if host.ServesAll() {
		s.h.Forks() // the soak's own service takes its place
		s.serve()
		loop(40*time.Millisecond, s.trouble)
	}
	logins.Wait()
	close(over)
	others.Wait()
	s.h.Config(soakConfig)
	if now := s.h.ReadFile("/proc/1/mountinfo"); now != mounts {
		s.h.T.Errorf("the host's mounts have changed:\n%s\nwere\n%s", now, mounts)
	}
}

// login is one session, in which the user writes a file into each polydir.
func (s *soak) login(pamhost, user, name string) {
	cmd := exec.Command(pamhost, "user="+user, "start", "open", "must",
		"fork", "unpriv", "put:/tmp/"+name, "put:/var/tmp/"+name, "put:/srv/shm/"+name, "join", "close", "end")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second
	_ = cmd.Run()
	s.mu.Lock()
	defer s.mu.Unlock()
	silent := true
	for line := range strings.Lines(out.String()) {
		var step host.Step
		if json.Unmarshal([]byte(line), &step) != nil {
			continue
		}
		switch {
		case step.Step == "open" && step.RC == 0:
			s.opened++
			silent = false
		case step.Step == "open":
			silent = false
		case step.Step == "put" && step.RC == 0 && strings.HasPrefix(step.Text, "/tmp/"):
			s.written[kit.Instance(user)+"/"+name] = user
			s.files++
		}
	}
	if silent {
		s.silent++
	}
}

// kill ends a random host, worker or session.
func (s *soak) kill() {
	comms, _ := filepath.Glob("/proc/[0-9]*/comm")
	rand.Shuffle(len(comms), func(i, j int) { comms[i], comms[j] = comms[j], comms[i] })
	for _, c := range comms {
		if name, err := os.ReadFile(c); err != nil || string(name) != "pamhost\n" {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(c)))
		what := "host"
		if status, err := os.ReadFile(filepath.Dir(c) + "/status"); err == nil && !strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid())) {
			what = "worker or session"
		}
		if unix.Kill(pid, unix.SIGKILL) == nil {
			s.mu.Lock()
			s.kills[what]++
			s.mu.Unlock()
		}
		return
	}
}

func (s *soak) collect() {
	out, err := exec.Command("polyinst", "gc").CombinedOutput()
	s.gc++
	if err != nil && !strings.Contains(string(out), "namespace.conf") { // broken at that moment
		s.h.T.Errorf("gc: %v: %s", err, out)
	}
}

// change replaces the configuration as an administrator should: by rename.
func (s *soak) change() {
	text := soakConfigs[rand.IntN(len(soakConfigs))]
	if os.WriteFile(host.ConfigFile+".new", []byte(text), 0o644) == nil && os.Rename(host.ConfigFile+".new", host.ConfigFile) == nil {
		s.changes++
	}
}

// forget removes some of the files, which are there: else the disk would be full for
// good.
func (s *soak) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range s.written {
		if len(s.written) <= 1000 {
			break
		}
		if err := os.Remove(path); err != nil {
			s.h.T.Errorf("lost: %v", err)
		}
		delete(s.written, path)
	}
}

// fill leaves no block on the disk, or no inode, and then makes room again.
func (s *soak) fill() {
	place := disk + "/.fill"
	defer os.RemoveAll(place)
	if err := os.Mkdir(place, 0o700); err != nil {
		return
	}
	s.mu.Lock()
	s.filled++
	byInodes := s.filled%2 == 0
	s.mu.Unlock()
	data := make([]byte, 1<<16)
	for n, err := 0, error(nil); err == nil; n++ {
		if byInodes {
			err = os.WriteFile(fmt.Sprintf("%s/%d", place, n), nil, 0o600)
			continue
		}
		var f *os.File
		if f, err = os.OpenFile(place+"/blocks", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
			_, err = f.Write(data)
			_ = f.Close()
		}
	}
	time.Sleep(30 * time.Millisecond) // how long it is full is part of the load
}

// serve starts the ready workers.
func (s *soak) serve() {
	cmd := exec.Command("polyinst", "serve", "--foreground", "--workers", "2")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		s.h.T.Errorf("polyinst serve: %v", err)
		return
	}
	s.service = cmd
}

// trouble befalls the ready workers: one of them, or all.
func (s *soak) trouble() {
	pid := s.service.Process.Pid
	workers := s.h.Children(pid)
	what, again := "", false
	switch n := rand.IntN(10); {
	case n < 5 && len(workers) > 0:
		what = "ready worker"
		_ = unix.Kill(workers[rand.IntN(len(workers))], unix.SIGKILL)
	case n < 6 && len(workers) > 0:
		what = "ready worker, stopped"
		w := workers[rand.IntN(len(workers))]
		_ = unix.Kill(w, unix.SIGSTOP)
		time.Sleep(20 * time.Millisecond) // how long it stands still is part of the load
		_ = unix.Kill(w, unix.SIGCONT)
	case n < 8:
		what = "ready workers, begun anew"
		_ = s.service.Process.Signal(unix.SIGHUP)
	case n < 9:
		what, again = "service", true
		_ = s.service.Process.Kill()
	default:
		what, again = "service, ended", true
		_ = s.service.Process.Signal(unix.SIGTERM)
	}
	if again {
		_ = s.service.Wait()
		s.serve()
	}
	s.mu.Lock()
	s.kills[what]++
	s.mu.Unlock()
}

// ofATmpdir is a name of which there is no second.
var ofATmpdir = regexp.MustCompile(`(\.new\.)?\.tmpdir\.[0-9a-f.]+`)

// judge looks for what is lost and what is left.
func (s *soak) judge(users []string) {
	t, h := s.h.T, s.h
	t.Helper()
	if s.service != nil {
		_ = s.service.Process.Signal(unix.SIGTERM)
		_ = s.service.Wait()
	}
	if left := kit.StillRunning("pamhost"); len(left) > 0 {
		t.Errorf("processes left behind: %v\n%s", left, h.Processes())
	}
	h.MustRun("polyinst", "gc")
	lost := 0
	for path, user := range s.written {
		var st unix.Stat_t
		text, err := os.ReadFile(path)
		if err == nil {
			err = unix.Stat(path, &st)
		}
		if err != nil || string(text) != "/tmp/"+filepath.Base(path) {
			lost++
			t.Errorf("lost: %s: %v: %q", path, err, text)
		} else if st.Uid != s.uids[user] {
			t.Errorf("%s is %s's file and belongs to uid %d", path, user, st.Uid)
		}
	}
	slices.Sort(users)
	made := slices.DeleteFunc(slices.Clone(users), func(u string) bool { return !h.Exists(kit.Instance(u)) })
	for dir, want := range map[string][]string{
		kit.TmpParent:                   append([]string{".lock"}, made...),
		host.Parents + "/var-tmp":       {".lock"},
		host.Parents + "/var-tmp/.lock": nil,
		"/run/polyinst":                 nil,
		"/srv/shm":                      nil,
		"/tmp":                          nil,
		"/var/tmp":                      nil,
	} {
		got := slices.DeleteFunc(h.Names(dir), func(name string) bool { return dir+"/"+name == kit.Nowhere || dir+"/"+name == host.ReadySocket })
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("left in %s: %q, want %q", dir, got, want)
		}
	}
	for _, l := range h.ModuleLog() {
		if _, why, ok := strings.Cut(l.Text, "session refused"); ok && l.Severity <= 3 {
			_, why, _ = strings.Cut(why, ": ")
			s.refused[ofATmpdir.ReplaceAllString(why, "NAME")]++
		}
	}
	var refusals int
	for why, n := range s.refused {
		refusals += n
		ended := strings.Contains(why, "worker ended without an answer") ||
			strings.Contains(why, "cannot be joined (setns): No such process") // or between its answer and the join
		full := s.filled > 0 && (strings.Contains(why, "no space left on device") || strings.Contains(why, "without a free"))
		if !ended && !full && !strings.Contains(why, "namespace.conf:") {
			t.Errorf("refused %d times: %s", n, why)
		}
	}
	for _, u := range users {
		kit.InInstance(h, "afterwards", u, h.MustRun("su", u, "-c", kit.WhichTmp))
	}
	// one process that opens and closes again and again keeps nothing of it
	steps := kit.Steps("open", "close", "snapshot:before")
	steps[0] = "user=" + users[0]
	for range 20 {
		steps = append(steps, "open", "close")
	}
	tr := h.PamHost(append(steps, "snapshot:after", "end")...)
	h.Unchanged("twenty sessions", tr.Snapshot("before"), tr.Snapshot("after"), host.View...)
	t.Logf("| opened %d | refused %d | host killed first %d | killed: %v | gc runs %d | disk full %d | configuration changes %d | files written %d | lost %d |",
		s.opened, refusals, s.silent, s.kills, s.gc, s.filled, s.changes, s.files, lost)
	for why, n := range s.refused {
		t.Logf("refused %d times: %s", n, why)
	}
	if s.opened == 0 || len(s.written) == 0 || len(s.kills) == 0 || s.gc == 0 {
		t.Error("nothing is shown: no session, no file, no kill or no gc")
	}
}
