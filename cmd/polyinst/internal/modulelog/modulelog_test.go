package modulelog

import (
	"fmt"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestLine(t *testing.T) {
	for line, want := range map[string]string{
		`Mar  1 11:59:58 vm sshd[12]: pam_polyinst(sshd:session): session opened for "alice" (uid 1001) in mnt:[4026]: /tmp -> /x`:            `2026-03-01 11:59:58 sshd "alice" opened ""`,
		`2026-03-01T10:00:00.123456+02:00 vm su[7]: pam_polyinst(su:session): session refused for "al\"ice": polydir "/tmp": does: not exist`: `2026-03-01 08:00:00 su "al\"ice" refused "polydir \"/tmp\": does: not exist"`,
		`Dec 31 23:59:59 vm login: pam_polyinst(login:session): rescue: "bob" is admitted WITHOUT private directories: because`:               `2025-12-31 23:59:59 login "bob" rescued "because"`,
		`Feb 29 10:00:00 vm su: pam_polyinst(su:session): session refused: the worker ended`:                                                  `2026-03-01 10:00:00 su "" refused "the worker ended"`,
		`Mar  2 11:00:00 vm su: pam_polyinst(su:session): rescue: root is admitted WITHOUT private directories: no memory`:                    `2026-03-02 11:00:00 su "root" rescued "no memory"`,
		`Mar  2 13:00:00 vm su: pam_polyinst(su:session): session refused: later`:                                                             `2025-03-02 13:00:00 su "" refused "later"`,

		`Mar  1 11:00:00 vm su: pam_unix(su:session): session opened for user alice`:                    "",
		`Mar  1 11:00:00 vm su: pam_polyinst(su:session): polydir "/tmp": keep: left out`:               "",
		`Mar  1 11:00:00 vm su: pam_polyinst(su:session): session refused for alice: x`:                 "",
		`Mar  1 11:00:00 vm su: pam_polyinst(su:session): session refused for "alice`:                   "",
		`Mar  1 11:00:00 vm su: pam_polyinst(su) x:session): session refused: x`:                        "",
		`yesterday vm su: pam_polyinst(su:session): session refused: x`:                                 "",
		`Mar  1 11:00:00 vm alice: I say pam_polyinst(su:session): session refused for "bob": run this`: "",
		`pam_polyinst(su:session): session refused: x`:                                                  "",
		``: "",
	} {
		e, ok := Line(line, now)
		if got := show(e, ok); got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
}

func TestJournal(t *testing.T) {
	for line, want := range map[string]string{
		`{"__REALTIME_TIMESTAMP":"1772366400000001","MESSAGE":"pam_polyinst(sshd:session): session refused for \"alice\": no"}`:                                                                                                         `2026-03-01 12:00:00 sshd "alice" refused "no"`,
		`{"__REALTIME_TIMESTAMP":"1772366400000001","MESSAGE":[112,97,109,95,112,111,108,121,105,110,115,116,40,115,117,58,115,101,115,115,105,111,110,41,58,32,115,101,115,115,105,111,110,32,114,101,102,117,115,101,100,58,32,255]}`: `2026-03-01 12:00:00 su "" refused "\xff"`,
		`{"__REALTIME_TIMESTAMP":"x","MESSAGE":"pam_polyinst(su:session): session refused: x"}`:                                                                                                                                         "",
		`{"__REALTIME_TIMESTAMP":"1","MESSAGE":null}`:      "",
		`{"__REALTIME_TIMESTAMP":"1","MESSAGE":"another"}`: "",
		`junk`: "",
	} {
		e, ok := Journal([]byte(line))
		if got := show(e, ok); got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
}

// Each reason is about what its section of pam_polyinst(8) is about.
func TestAbout(t *testing.T) {
	for reason, want := range map[string]Subject{
		`/etc/security/polyinst/namespace.conf:3:1: polydir "/tmp": unknown key "methd"`:                       Configuration,
		`there is no configuration: /etc/security/polyinst/namespace.conf does not exist: begin with`:          Configuration,
		`trust /etc/security/polyinst: owned by uid 1000, want root: chown root /etc/security/polyinst`:        Configuration,
		`PAM line: unknown argument "dbug", did you mean "debug"?`:                                             Configuration,
		`polydir "/tmp": require= on the PAM line: the configuration has no such polydir`:                      Configuration,
		`the account "alice" does not exist`:                                                                   Account,
		`groups of "alice" cannot be looked up: no answer (is the directory service down?)`:                    Account,
		`polydir "/tmp": instance parent "/var/lib/polyinst/tmp": does not exist: "polyinst prepare" makes it`: Parent,
		`polydir "/tmp": quota: instance parent "/x": no project is free`:                                      Parent,
		`polydir "/tmp": instance "/var/lib/polyinst/tmp/alice": owned by uid 1000, want 0`:                    Instance,
		`polydir "/tmp": init script "/etc/x": exited with status 1`:                                           Script,
		`polydir "/tmp": is a symbolic link`:                                                                   Polydir,
		`polydir "/home/\": instance parent \"": does not exist`:                                               Polydir,
		`polydir "/tmp`:                                             Other,
		`the worker did not answer in time`:                         Worker,
		`the hard limit of address space (RLIMIT_AS) is too low`:    Worker,
		`kernel 5.4 has no mount_setattr: pam_polyinst needs Linux`: Other,
		``: Other,
	} {
		if got := About(reason); got != want {
			t.Errorf("%s: got %s, want %s", reason, got, want)
		}
	}
}

func show(e Entry, ok bool) string {
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s %s %q %s %q", e.At.UTC().Format(time.DateTime), e.Service, e.User, e.Kind, e.Reason)
}

func FuzzLine(f *testing.F) {
	f.Add(`Mar  1 11:59:58 vm su: pam_polyinst(su:session): session refused for "a": b`)
	f.Fuzz(func(t *testing.T, line string) {
		if e, ok := Line(line, now); ok && (e.Kind == "" || e.At.IsZero()) {
			t.Errorf("%+v", e)
		}
		Journal([]byte(line))
	})
}
