package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// sections are the parts of a case's file: "-- NAME --" begins each.
func sections(text string) map[string]string {
	parts, name := map[string]string{}, ""
	for line := range strings.Lines(text) {
		if head, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(strings.TrimSpace(head), " --")
			continue
		}
		parts[name] += line
	}
	return parts
}

// Every file of testdata/check is a machine and a configuration, and what
// polyinst check says of it.
func TestCheckMachine(t *testing.T) {
	files, _ := filepath.Glob("testdata/check/*.txt")
	if len(files) < 30 {
		t.Fatalf("%d cases", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			host.Run(t, func(h *host.Host) {
				raw, err := os.ReadFile(h.Source("tests/" + file))
				if err != nil {
					t.Fatal(err)
				}
				parts := sections(string(raw))
				h.Install()
				h.Config(parts["namespace.conf"])
				h.Sh(parts["setup"])
				r := h.Cmd("polyinst", "check")
				got := fmt.Sprintf("%sexit %d\n", r.Stderr, r.Code)
				host.Equal(h, "said", got, strings.Replace(parts["want"], withoutModule, levelHere(), 1))
			})
		})
	}
}

const withoutModule = "no security module gives a context here: turn SELinux on"

// levelHere is why this machine has no levels: the disposable host is under the
// security module of the machine.
func levelHere() string {
	for module, file := range map[string]string{"AppArmor": "apparmor", "Smack": "smack"} {
		if _, err := os.ReadFile("/proc/thread-self/attr/" + file + "/current"); err == nil {
			return "only SELinux has levels, and " + module + ` is active here: use method "context"`
		}
	}
	return withoutModule
}

func TestCheckJSON(t *testing.T) {
	story(t, ownTmp, nil, func(h *host.Host) {
		var out struct {
			Schema  int
			Remarks []struct {
				File, Level, Message string
				Line, Column         int
			}
		}
		r := h.Cmd("polyinst", "check", "--json")
		host.Equal(h, "a good one", fmt.Sprint(r.Code, json.Unmarshal([]byte(r.Stdout), &out), out.Schema, len(out.Remarks)), "0 <nil> 1 0")
		h.Config(ownTmp + "colour = 'red'\n")
		r = h.Cmd("polyinst", "check", "--json")
		host.Equal(h, "a bad one", fmt.Sprint(r.Code, json.Unmarshal([]byte(r.Stdout), &out), len(out.Remarks)), "1 <nil> 1")
		x := out.Remarks[0]
		host.Equal(h, "where", fmt.Sprint(x.File, " ", x.Line, " ", x.Column, " ", x.Level), host.ConfigFile+" 7 1 error")
		h.Match("what", x.Message, `^polydir "/tmp": unknown key "colour"`)
	})
}

// A user can check a draft; of the machine it is then said that it was not
// looked at.
func TestCheckAsAUser(t *testing.T) {
	story(t, ownTmp, nil, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.WriteFile("/home/alice/draft.conf", strings.Replace(ownTmp, "polyinst/tmp", "nowhere/tmp", 1))
		r := h.Command("polyinst", "check", "/home/alice/draft.conf").As(alice).Run()
		host.Equal(h, "exit status", r.Code, 0)
		h.Match("it says", r.Stdout, "the machine was not looked at, which needs root")
		h.MustRun("polyinst", "check", "--config-only", "/home/alice/draft.conf")
	})
}

func TestCheckPAM(t *testing.T) {
	story(t, ownTmp, nil, func(h *host.Host) {
		r := h.Cmd("polyinst", "check", "--pam")
		host.Equal(h, "exit status where nobody has the line", r.Code, 0)
		h.Match("it says", r.Stderr, "/etc/pam.d: warning: no session stack has")
		h.PAM("sshd", host.Stack(session)...)
		h.PAM("su", host.Stack("session optional pam_polyinst.so debgu")...)
		r = h.Cmd("polyinst", "check", "--pam")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("an unknown argument", r.Stderr, `(?m)^/etc/pam\.d/su:5:1: PAM line: unknown argument "debgu"`)
		h.Match("an ignored refusal", r.Stderr, `(?m)^/etc/pam\.d/su:5:1: control "optional"`)
		h.Match("cron", r.Stderr, `(?m)^/etc/pam\.d/cron: warning: .* sessions of "cron" see the public /tmp`)
		h.Match("the vendor's files", r.Stderr, `(?m)pam\.d/systemd-user: warning: `)
		// another directory stands alone
		h.WriteFile("/root/pam.d/sshd", session+"\n")
		host.Equal(h, "another directory", h.Cmd("polyinst", "check", "--pam=/root/pam.d").Stderr, "")
	})
}

// What check calls an error refuses sessions, and what it calls none does not.
func TestCheckPAMIsTrue(t *testing.T) {
	const su = "auth sufficient pam_rootok.so\naccount required pam_permit.so\n"
	cases := map[string]struct {
		stack    string
		admitted bool
	}{
		"good":            {su + session, true},
		"unknown control": {su + "session requierd pam_polyinst.so", false},
		"missing include": {su + session + "\n@include comon-session", false},
		"missing session": {su + session + "\nsession include comon-session", false},
		"auth":            {"auth required pam_polyinst.so\n" + su + session, false},
		"argument":        {su + session + " debgu", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, ownTmp, nil, func(h *host.Host) {
				h.AddUser("alice")
				h.PAM("su", c.stack)
				host.Equal(h, "admitted", h.Cmd("su", "alice", "-c", "true").Code == 0, c.admitted)
				host.Equal(h, "checked", h.Cmd("polyinst", "check", "--pam").Code == 0, c.admitted)
			})
		})
	}
}
