package audit

import (
	"strings"
	"testing"
)

func TestMessage(t *testing.T) {
	const tail = ` service="sshd" hostpid=7 exe="/usr/sbin/sshd" hostname="192.0.2.1" addr=? terminal="ssh" res=success`
	good := Message{Operation: Open, Account: "alice", Namespace: 4026532489, Service: "sshd", HostPID: 7, Exe: "/usr/sbin/sshd",
		RHost: "192.0.2.1", TTY: "ssh", Success: true,
		Polydirs: []Polydir{{"/tmp", "/var/lib/polyinst/tmp/alice"}, {"/dev/shm", "tmpfs"}}}
	cases := map[string]struct {
		change func(*Message)
		want   string
	}{
		"opened":  {func(*Message) {}, `op=polyinst:open acct="alice" mntns=4026532489 dir="/tmp" path="/var/lib/polyinst/tmp/alice" dir="/dev/shm" path="tmpfs"` + tail},
		"nothing": {func(m *Message) { m.Polydirs, m.Namespace = nil, 0 }, `op=polyinst:open acct="alice"` + tail},
		"refused": {func(m *Message) {
			*m = Message{Operation: Open, Account: "bob", Service: "su", Reason: "config", Polydirs: []Polydir{{Path: "/tmp"}}}
		}, `op=polyinst:open acct="bob" dir="/tmp" reason="config" service="su" hostpid=0 exe=? hostname=? addr=? terminal=? res=failed`},
		"rescue": {func(m *Message) { *m = Message{Operation: Rescue, Account: "root", Reason: "host", Success: true} },
			`op=polyinst:rescue acct="root" reason="host" service=? hostpid=0 exe=? hostname=? addr=? terminal=? res=success`},
		"by a ready worker": {func(m *Message) {
			m.Polydirs, m.Namespace, m.Login = nil, 0, Login{Known: true, UID: 1000, Session: 4294967295}
		},
			`op=polyinst:open acct="alice" service="sshd" hostpid=7 hostauid=1000 hostses=4294967295 exe="/usr/sbin/sshd" hostname="192.0.2.1" addr=? terminal="ssh" res=success`},
		"by one under SELinux": {func(m *Message) {
			m.Polydirs, m.Namespace, m.Login = nil, 0, Login{Context: "system_u:system_r:sshd_t:s0-s15:c0.c1023"}
		},
			`op=polyinst:open acct="alice" service="sshd" hostpid=7 hostsubj="system_u:system_r:sshd_t:s0-s15:c0.c1023" exe="/usr/sbin/sshd" hostname="192.0.2.1" addr=? terminal="ssh" res=success`},
		"a space and more words": {func(m *Message) { m.Account, m.Polydirs, m.Namespace = "a res=success", nil, 0 },
			`op=polyinst:open acct=61207265733D73756363657373` + tail},
		"a double quote": {func(m *Message) { m.Account, m.Polydirs, m.Namespace = `a"b`, nil, 0 }, `op=polyinst:open acct=612262` + tail},
		"a single quote": {func(m *Message) { m.Account, m.Polydirs, m.Namespace = "a'b", nil, 0 }, `op=polyinst:open acct=612762` + tail},
		"no ASCII":       {func(m *Message) { m.Account, m.Polydirs, m.Namespace = "é\n\x00", nil, 0 }, `op=polyinst:open acct=C3A90A00` + tail},
	}
	for name, c := range cases {
		m := good
		c.change(&m)
		if got := m.String(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// However much there is, the text fits, ends with the result and counts what
// was left out.
func TestMessageIsBounded(t *testing.T) {
	m := Message{Operation: Open, Account: strings.Repeat(" ", 5000), TTY: strings.Repeat("x", 5000), RHost: strings.Repeat("é", 900),
		Service: strings.Repeat(" ", 5000), Exe: strings.Repeat(" ", 5000), Reason: strings.Repeat(" ", 5000)}
	for range 500 {
		m.Polydirs = append(m.Polydirs, Polydir{"/tmp", strings.Repeat("p", 200)})
	}
	m.Polydirs[3].Instance = strings.Repeat(" ", 4096)
	for n := range 501 {
		m.Polydirs = m.Polydirs[:500-n]
		got := m.String()
		if len(got) > TextMax || !strings.HasSuffix(got, " res=failed") {
			t.Fatalf("%d polydirs: %d bytes, ends with %q", 500-n, len(got), got[len(got)-20:])
		}
		shown := strings.Count(got, " dir=")
		if left := strings.Contains(got, " more="); left == (shown == 500-n) {
			t.Fatalf("%d polydirs, %d shown, more: %v", 500-n, shown, left)
		}
	}
}
