package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"pam_polyinst/tests/host"
)

// login is what came of one session of a host of our own.
type login struct {
	code  int // exit status; 128+N where signal N ended it
	late  bool
	text  string // all that was printed
	steps map[string]host.Step
	log   []host.Line // of the module, and of libpam's audit
}

// patience is when a login counts as hung: above the deadlines of the module.
const patience = 45 * time.Second

func (w *sweep) steps() []string {
	steps := []string{"user=" + w.user, "ruser=" + w.asks, "window", "start", "acct"}
	steps = append(steps, w.setup.steps...)
	return append(steps, "cwd:/home", "snapshot:before", "open", "snapshot:open", "inspect:"+strings.Join(w.covered, " "),
		"close", "snapshot:closed", "end")
}

// run runs a login, under these words before pamhost.
func (w *sweep) run(prefix ...string) (*login, error) {
	var args []string
	if w.enters > 0 {
		args = []string{"nsenter", "-m", "-t", fmt.Sprint(w.enters)}
	}
	args = append(append(append(args, prefix...), w.pamhost), w.steps()...)
	if len(prefix) == 0 {
		args = slices.DeleteFunc(args, func(s string) bool { return s == "window" })
	}
	return w.exec(args)
}

// exec runs a host of our own, and reads what it says and what is logged.
func (w *sweep) exec(args []string) (*login, error) {
	w.h.ForgetLog()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	killer := time.AfterFunc(patience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	_ = cmd.Wait()
	l := &login{late: !killer.Stop(), text: out.String(), steps: map[string]host.Step{}, log: w.log()}
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		l.code = 128 + int(s.Signal())
	} else {
		l.code = s.ExitStatus()
	}
	for line := range strings.Lines(l.text) {
		var s host.Step
		if json.Unmarshal([]byte(line), &s) == nil {
			l.steps[s.Step] = s
		}
	}
	return l, nil
}

func (w *sweep) log() []host.Line {
	return slices.DeleteFunc(w.h.Syslog(), func(l host.Line) bool {
		return !strings.HasPrefix(l.Text, "pam_polyinst(") && !strings.HasPrefix(l.Text, ofAudit)
	})
}

// ofAudit begins what libpam says when it has changed an outcome to "System
// error" since it could not tell the audit system.
const ofAudit = "PAM audit_"

func (l *login) says(text string) bool {
	return slices.ContainsFunc(l.log, func(line host.Line) bool { return strings.Contains(line.Text, text) })
}

// opened reports whether open_session succeeded.
func (l *login) opened() bool { s, ok := l.steps["open"]; return ok && s.RC == host.PAMSuccess }

func (l *login) logText() string {
	var b strings.Builder
	for _, line := range l.log {
		b.WriteString(line.String() + "\n")
	}
	return b.String()
}

var (
	tmpdirName = regexp.MustCompile(`\.tmpdir\.[0-9a-f.]+`)
	peerGroup  = regexp.MustCompile(`(shared|master|propagate_from):\d+`)
)

var layer = regexp.MustCompile(`\b(lowerdir|upperdir|workdir)\+?=[^, ]*`)

// view is the mounts of a snapshot without what is another one each time: ids,
// device numbers of what has none that lasts, random names.
func view(s host.Snapshot) string {
	var out []string
	for _, line := range s["mountinfo"] {
		f := strings.Fields(line)
		if len(f) < 7 {
			continue
		}
		sep := slices.Index(f, "-")
		if sep > 0 && (f[sep+1] == "tmpfs" || f[sep+1] == "mqueue" || f[sep+1] == "overlay" || f[sep+1] == "proc") {
			f[2] = f[sep+1]
		}
		if sep > 0 && f[sep+1] == "overlay" { // by descriptor or by path
			f[len(f)-1] = layer.ReplaceAllString(f[len(f)-1], "$1=X")
		}
		text := peerGroup.ReplaceAllString(strings.Join(f[2:], " "), "$1")
		out = append(out, tmpdirName.ReplaceAllString(text, ".tmpdir.X"))
	}
	slices.Sort(out) // built in place, they come in another order
	return strings.Join(out, "\n")
}

// places are the same mounts without propagation: what a refusal in
// place leaves is a copy with the same sources, targets and flags (I-9).
func places(s host.Snapshot) string {
	var out []string
	for line := range strings.Lines(view(s)) {
		line = regexp.MustCompile(` (shared|master|propagate_from)\b`).ReplaceAllString(line, "")
		out = append(out, strings.TrimSpace(line))
	}
	return strings.Join(out, "\n")
}

// names are the entries of the instance parents and of the records.
func (w *sweep) names() string {
	var out []string
	for _, dir := range append(slices.Clone(w.parents), "/run/polyinst") {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			out = append(out, dir+"/"+e.Name())
		}
		entries, _ = os.ReadDir(dir + "/.lock")
		for _, e := range entries {
			out = append(out, dir+"/.lock/"+e.Name())
		}
	}
	return strings.Join(out, "\n")
}

// strangers are processes that nobody should have left.
func (w *sweep) strangers() []string {
	entries, _ := os.ReadDir("/proc")
	var out []string
	for _, e := range entries {
		pid := 0
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil || pid == 1 || pid == os.Getpid() || pid == w.held {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil || strings.Contains(string(text), ") Z ") {
			continue
		}
		out = append(out, strings.Join(strings.Fields(string(text))[:3], " "))
	}
	return out
}
