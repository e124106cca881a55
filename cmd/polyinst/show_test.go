package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"pam_polyinst/cmd/polyinst/internal/modulelog"
	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/gc"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/projquota"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// printed is what a function writes to standard output, which may close it. Tests that
// use it do not run beside others.
func printed(t *testing.T, f func()) string {
	t.Helper()
	return printedOrLost(t, func() {
		f()
		if err := stdout.finish(); err != nil {
			t.Fatal(err)
		}
	})
}

// printedOrLost is printed for what closes standard output itself.
func printedOrLost(t *testing.T, f func()) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	before := stdout
	stdout = &output{file: file}
	defer func() { stdout = before }()
	f()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func ptr[T any](x T) *T { return &x }

// A size, an age and a moment for people.
func TestForPeople(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 1023: "1023", 1024: "1.0K", 1536: "1.5K", 10 << 10: "10K", 1 << 20: "1.0M", 5 << 40: "5.0T", 3 << 50: "3.0P", 1<<64 - 1: "16384P"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Hour: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m", time.Hour: "1h",
		47*time.Hour + 59*time.Minute: "47h", 48 * time.Hour: "2d", 1000 * 24 * time.Hour: "1000d"} {
		if got := ageText(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	now := time.Now()
	for at, want := range map[time.Time]string{now: now.Format("15:04:05"), now.AddDate(-1, 0, 0): now.AddDate(-1, 0, 0).Format("2006-01-02 15:04"), now.Add(-48 * time.Hour): now.Add(-48 * time.Hour).Format("2006-01-02 15:04")} {
		if got := since(at.Unix()); got != want {
			t.Errorf("%v: %q, want %q", at, got, want)
		}
	}
	for s, want := range map[string]string{"alice": "alice", "ä b": "ä b", "": `""`, "a\x1b[31m": `"a\x1b[31m"`, "a\nb": `"a\nb"`, "a\xff": `"a\xff"`, "a\u200bb": `"a\u200bb"`} {
		if got := plain(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
	for q, want := range map[quotaJSON]string{{}: "", {Bytes: 1 << 20, UsedBytes: 512}: "512 of 1.0M", {Inodes: 10, UsedInodes: 3}: "3 of 10 inodes", {1 << 30, 7, 1 << 20, 7}: "1.0M of 1.0G, 7 of 7 inodes"} {
		if got := quotaText(q); got != want {
			t.Errorf("%+v: %q, want %q", q, got, want)
		}
	}
	for names, want := range map[string]string{"": "nobody", "a": "a", "a,b,c": "a, b, c", "a,b,c,d": "a, b, c and 1 more", "*": "all others"} {
		if got := few3(slices.DeleteFunc(strings.Split(names, ","), func(s string) bool { return s == "" })); got != want {
			t.Errorf("%s: %q, want %q", names, got, want)
		}
	}
}

// An age is a number of hours, days or weeks, and nothing that could be read as one.
func TestParseAge(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{"1h": time.Hour, "30d": 30 * day, "2w": 14 * day, "65535h": 65535 * time.Hour} {
		if got, err := parseAge(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "0d", "30", "-1d", "+1d", "1.5d", "1 d", "30D", "1m", "65536h", "1d ", "ä"} {
		if got, err := parseAge(text); err == nil || got != 0 || !strings.Contains(err.Error(), "want a number and h, d or w") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// The instances as `list --instances` shows them: whole, and on terminals of 80 and 40
// columns.
func TestInstanceTable(t *testing.T) {
	at := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	all := []gc.Instance{
		{Parent: "/var/lib/polyinst/tmp", Name: "alice", LastOpen: at(3 * time.Minute)},
		{Parent: "/var/lib/polyinst/tmp", Name: "bob", LastOpen: at(72 * time.Hour)},
		{Parent: "/p", Name: "s"},
		{Parent: "/p", Name: ".tmpdir.x"},
	}
	out := []instanceJSON{
		{Path: all[0].Path(), User: ptr("alice"), UID: ptr(uint32(1001)), Mode: "1777", Bytes: ptr(uint64(4096)), State: "in use", Holder: ptr(77)},
		{Path: all[1].Path(), UID: ptr(uint32(1002)), Owner: 1002, Mode: "0700", Bytes: ptr(uint64(2 << 20)), Partial: true, State: "stale", Reason: "there is no account with uid 1002 any more, and none of this name"},
		{Path: all[2].Path(), Shared: true, Mode: "1777", State: "idle", Quota: &quotaJSON{Bytes: 1 << 20}},
		{Path: "/p/\x1b", Mode: "0700", State: "foreign"},
	}
	table, total := instanceTable(out, all, true)
	if total != 4096+2<<20 {
		t.Errorf("all take %d", total)
	}
	for width, want := range map[int][]string{
		0: {
			"USER      OWNER  MODE  SIZE       OPENED  STATE                                                                     INSTANCE",
			"alice     0      1777  4.0K       3m ago  in use by process 77                                                      /var/lib/polyinst/tmp/alice",
			"uid 1002  1002   0700  2.0M+      3d ago  stale: there is no account with uid 1002 any more, and none of this name  /var/lib/polyinst/tmp/bob",
			"shared    0      1777  0 of 1.0M  -       idle                                                                      /p/s",
			"-         0      0700  -          -       foreign                                                                   \"/p/\\x1b\"",
		},
		80: {
			"USER      OWNER  MODE  SIZE       OPENED  STATE               INSTANCE",
			"alice     0      1777  4.0K       3m ago  in use by process   …olyinst/tmp/alice",
			"                                          77",
			"uid 1002  1002   0700  2.0M+      3d ago  stale: there is no  …/polyinst/tmp/bob",
			"                                          account with uid",
			"                                          1002 any more, and",
			"                                          none of this name",
			"shared    0      1777  0 of 1.0M  -       idle                /p/s",
			"-         0      0700  -          -       foreign             \"/p/\\x1b\"",
		},
		40: { // too narrow for seven columns: it flows
			"USER OWNER MODE SIZE OPENED STATE",
			"  INSTANCE",
			"alice 0 1777 4.0K 3m ago in use by",
			"  process 77 /var/lib/polyinst/tmp/alice",
			"uid 1002 1002 0700 2.0M+ 3d ago stale:",
			"  there is no account with uid 1002 any",
			"  more, and none of this name",
			"  /var/lib/polyinst/tmp/bob",
			"shared 0 1777 0 of 1.0M - idle /p/s",
			"- 0 0700 - - foreign \"/p/\\x1b\"",
		},
	} {
		got := slices.Concat(table.layout(width)...)
		if !slices.Equal(got, want) {
			t.Errorf("width %d:\n%s\nwant\n%s", width, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, line := range got {
			if width > 0 && uniseg.StringWidth(line) > width {
				t.Errorf("at %d columns: %q", width, line)
			}
		}
	}
	if !table.dim[3] || table.dim[0] {
		t.Errorf("of less interest: %v", table.dim)
	}
}

// list --json says of an instance what is known, and null where it is not.
func TestDescribe(t *testing.T) {
	opened := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("x", 3600))
	raw, err := json.Marshal(describe(gc.Instance{Parent: "/p", Name: "root", UID: 0, Recorded: true, Stat: dirfd.Stat{UID: 1, GID: 2, Mode: 0o1777}, LastOpen: opened, State: gc.Idle,
		Quota: &projquota.Quota{Limits: projquota.Limits{Bytes: 1, Inodes: 2}, UsedBytes: 3, UsedInodes: 4}}))
	if want := `{"path":"/p/root","user":"root","uid":0,"shared":false,"owner":1,"group":2,"mode":"1777","bytes":null,"entries":null,"partial":false,"last_open":"2026-01-02T02:04:05Z",` +
		`"quota":{"bytes":1,"inodes":2,"used_bytes":3,"used_inodes":4},"state":"idle","holder":null,"reason":""}`; err != nil || string(raw) != want {
		t.Errorf("%s, %v, want\n%s", raw, err, want)
	}
	for what, i := range map[string]gc.Instance{"not recorded": {UID: 0}, "another's by now": {Recorded: true, Another: true}, "no such account": {Recorded: true, UID: 4123456789}} {
		if j := describe(i); j.User != nil || (j.UID != nil) != i.Recorded || j.LastOpen != nil || j.Quota != nil {
			t.Errorf("%s: %+v", what, j)
		}
	}
}

// The text format of Prometheus: sorted, escaped, a number without an exponent.
func TestMetricsText(t *testing.T) {
	f := family{"polyinst_instances", "Instances on the disk.", map[string]float64{label("parent", "/b", "state", "in_use"): 2, label("parent", `/a\"`+"\n", "state", "idle"): 12345678901, "": 0.5}}
	want := "# HELP polyinst_instances Instances on the disk.\n# TYPE polyinst_instances gauge\n" +
		"polyinst_instances 0.5\n" +
		`polyinst_instances{parent="/a\\\"\n",state="idle"} 12345678901` + "\n" +
		`polyinst_instances{parent="/b",state="in_use"} 2` + "\n"
	if got := f.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := text([]family{f, {"x", "y", nil}}); got != want+"# HELP x y\n# TYPE x gauge\n" {
		t.Errorf("%s", got)
	}
	for state, want := range map[gc.State]string{gc.InUse: "in_use", gc.Idle: "idle", gc.Stale: "stale", gc.Foreign: "foreign", gc.Unknown: "unknown"} {
		if got := stateName(state); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for by, want := range map[string]string{"": "unknown", "ready": "ready", "forked": "forked", "forked: the host is traced": "forked"} {
		if got := opener(live.Namespace{Record: record.Record{Worker: by}}); got != want {
			t.Errorf("%q: %q, want %q", by, got, want)
		}
	}
	w := watched{{NS: 1}: {"/tmp": {lost: true}, "/x": {}}, {NS: 2}: {"/tmp": {lost: true, told: true}}}
	for _, want := range []string{"\npolyinst_watched_namespaces 2\n", "\npolyinst_watched_polydirs_lost 2\n", "\npolyinst_watched_timestamp_seconds 1"} {
		if got := w.metrics(); !strings.Contains(got, want) {
			t.Errorf("%s\nwant %q", got, want)
		}
	}
}

// A reader of the file sees the old numbers or the new ones, and nothing is left beside it.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.prom")
	for _, text := range []string{"1\n", "2\n"} {
		if err := replace(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if st, _ := os.Stat(path); err != nil || string(got) != text || st.Mode().Perm() != 0o644 {
			t.Errorf("%q, %v, %v", got, err, st)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := replace(filepath.Join(dir, "d"), "3\n", 0o644); err == nil {
		t.Error("a directory is replaced")
	}
	if err := replace(filepath.Join(dir, "none", "x"), "3\n", 0o644); err == nil {
		t.Error("a file in no directory is replaced")
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); names != nil {
		t.Errorf("left: %q", names)
	}
}

// What is written after an output has failed is not, and that is told once; a reader that
// has gone away is no news.
func TestLostOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs a kernel feature: /dev/full")
	}
	o := &output{file: full}
	for range 2 {
		if n, err := o.Write([]byte("xy")); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if err := o.finish(); err == nil || err.Error() != "standard output: no space left on device" {
		t.Errorf("%v", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	o = &output{file: write}
	_, _ = o.Write([]byte("x"))
	if err := o.finish(); !errors.Is(err, errReported) {
		t.Errorf("a reader that has gone: %v", err)
	}
}

// The state and the exit status of `status`.
func TestVerdict(t *testing.T) {
	fault, warning := []remark{{Level: pamstack.Error}}, []remark{{Level: pamstack.Warning}, {Level: pamstack.Note}}
	lines := []lineOf{{Service: "su"}}
	for what, c := range map[string]struct {
		state machineState
		want  string
		bad   bool
	}{
		"nothing is configured":           {machineState{}, stateOff, false},
		"polydirs, and nobody's line":     {machineState{Config: configState{Polydirs: 1}}, stateOff, true},
		"on":                              {machineState{Services: lines, Config: configState{Polydirs: 1}}, stateOn, false},
		"with warnings":                   {machineState{Services: lines, Config: configState{Polydirs: 1}, Remarks: warning}, stateOn, false},
		"a line, and no polydir":          {machineState{Services: lines}, stateOff, false},
		"polydirs by another main file":   {machineState{Services: lines, elsewhere: 1}, stateOn, false},
		"an error":                        {machineState{Services: lines, Remarks: fault}, stateFault, true},
		"an error, and it is nobody's on": {machineState{Remarks: append(fault, warning...)}, stateFault, true},
	} {
		c.state.State = c.state.verdict()
		if c.state.State != c.want || c.state.bad() != c.bad {
			t.Errorf("%s: %q, bad %v, want %q, %v", what, c.state.State, c.state.bad(), c.want, c.bad)
		}
	}
	for want, count := range map[string]map[pamstack.Level]int{
		"no problem":                                   {pamstack.Note: 3},
		"1 error (`polyinst check --pam`)":             {pamstack.Error: 1},
		"2 errors, 1 warning (`polyinst check --pam`)": {pamstack.Error: 2, pamstack.Warning: 1, pamstack.Note: 1},
	} {
		if got := remarksText(count); got != want {
			t.Errorf("%v: %q, want %q", count, got, want)
		}
	}
}

// The screen of `status`, on a machine where something is on, something waits and somebody
// was refused.
func TestStatusScreen(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := at.Local().Format(time.TimeOnly)
	s := machineState{State: stateOn, Services: []lineOf{{Service: "sshd"}, {Service: "s\x1b"}}, Without: []string{"cron"},
		Waits:    &waitingState{[]string{"sshd"}, at.Format(time.RFC3339), false},
		Config:   configState{File: "/etc/x.conf", Files: 2, Polydirs: 1, Parents: 2, Missing: 1},
		Remarks:  []remark{{Level: pamstack.Warning}},
		Live:     liveState{3, 1, 8},
		LastHour: hourState{From: "the journal", Opened: 5, Refused: []refusedState{{"alice", "su", "it is full\x1b", false, 2, at.Format(time.RFC3339)}, {"", "sshd", "r", true, 1, at.Format(time.RFC3339)}}},
		LastGC:   &lastGC{lastRun{At: time.Now().Add(-3 * time.Hour)}, 1}}
	want := "state          on\n" +
		"services       sshd, \"s\\x1b\"\n" +
		"without        cron\n" +
		"module         not found, and it is not known where libpam looks\n" +
		"workers        none listens: every session forks its own (`systemctl status polyinst.socket`)\n" +
		"to confirm     sshd, until " + clock + ": `polyinst confirm`\n" +
		"configuration  /etc/x.conf: 2 files, 1 polydir; 1 warning (`polyinst check --pam`)\n" +
		"parents        2, 1 missing: `polyinst prepare` makes them\n" +
		"sessions       3 namespaces of 1 user, 8 processes\n" +
		"last hour      5 opened, 2 refused, 1 rescued, says the journal\n" +
		"               " + clock + " refused alice by su (2 times): \"it is full\\x1b\"\n" +
		"               " + clock + " rescued somebody by sshd: r\n" +
		"gc             3h ago, removed 1 instance\n" +
		"meanwhile      in, WITHOUT private directories: root (and by rescue= or config_error= of a PAM line, as `polyinst explain` says)\n"
	if got := printed(t, func() { s.print(nil, observe.Files{}, "") }); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	off := machineState{State: stateOff, Waits: &waitingState{Services: []string{"su"}, Lost: true}, LastGC: &lastGC{lastRun: lastRun{At: time.Now(), Error: "it is full"}}}
	want = "state          off: no service has our line: `polyinst enable SERVICE...`\n" +
		"module         not found, and it is not known where libpam looks\n" +
		"workers        none listens: every session forks its own (`systemctl status polyinst.socket`)\n" +
		"to confirm     su, and nobody takes it back: `polyinst prepare` does\n" +
		"configuration  \"\": 0 files, 0 polydirs; no problem\n" +
		"sessions       0 namespaces of 0 users, 0 processes\n" +
		"last hour      not known: there is no log that can be read here\n" +
		"gc             0s ago: it is full\n"
	if got := printed(t, func() { off.print(nil, observe.Files{}, "") }); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	none := machineState{State: stateOff, Services: []lineOf{{Service: "su"}}}
	if got := printed(t, func() { none.print(nil, observe.Files{}, "") }); !strings.HasPrefix(got, "state          off: no polydir is configured: `polyinst edit`\nservices       su\n") {
		t.Errorf("a line, and no polydir: %s", got)
	}
	many := machineState{State: stateOn, LastHour: hourState{From: "x"}}
	for i := range 8 {
		many.LastHour.Refused = append(many.LastHour.Refused, refusedState{User: fmt.Sprint(i), Last: at.Format(time.RFC3339), Times: 1})
	}
	if got := printed(t, func() { many.print(nil, observe.Files{}, "") }); !strings.Contains(got, "               and 3 other refusals like these: `polyinst status --json`\n") || strings.Contains(got, "refused 5 ") || !strings.HasSuffix(got, "gc             never\n") {
		t.Errorf("%s", got)
	}
}

// A log file is read from its end: the newest first, within the time, for as long as more is
// wanted.
func TestLogFile(t *testing.T) {
	at := func(m int) string { return time.Now().Add(time.Duration(m) * time.Minute).Format(time.RFC3339) }
	lines := []string{
		at(-90) + " host su: pam_polyinst(su:session): session refused for \"old\": r",
		at(-30) + " host su: pam_polyinst(su:session): session opened for \"alice\": /tmp",
		at(-20) + " host su: pam_unix(su:session): session opened for user bob",
		at(-10) + " host su: pam_polyinst(su:session): session refused for \"carol\": it is full",
		at(-5) + " host su: pam_polyinst(su:session): rescue: \"dave\" is admitted WITHOUT private directories: r",
	}
	path := filepath.Join(t.TempDir(), "auth.log")
	for _, end := range []string{"\n", ""} {
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+end), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			refused bool
			most    int
			want    []string
		}{{false, 9, []string{"dave", "carol", "alice"}}, {true, 9, []string{"dave", "carol"}}, {false, 1, []string{"dave"}}} {
			var got []string
			_, cut, err := logFile(path, time.Now().Add(-time.Hour), c.refused, func(e modulelog.Entry) bool { got = append(got, e.User); return len(got) < c.most })
			if err != nil || cut || !slices.Equal(got, c.want) {
				t.Errorf("%+v: %q, %v", c, got, err)
			}
		}
	}
	if _, _, err := logFile(path+".none", time.Time{}, false, func(modulelog.Entry) bool { return true }); err == nil {
		t.Error("a log that is not there")
	}
}

// However many sessions are explained, each module is looked for once.
func TestRemembering(t *testing.T) {
	var asked []string
	load := remembering(func(module string) string {
		asked = append(asked, module)
		return "no " + module
	})
	for range 3 {
		for _, module := range []string{"a", "b"} {
			if got := load(module); got != "no "+module {
				t.Errorf("%s: %q", module, got)
			}
		}
	}
	if strings.Join(asked, " ") != "a b" {
		t.Errorf("asked: %q", asked)
	}
}

// The commands that our own messages name, and nothing else that looks like one.
func TestCommandsIn(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil,
		`instance parent "/i": does not exist: "polyinst prepare" makes it`:              nil,
		"does not exist: `polyinst prepare` makes it":                                    {"polyinst prepare"},
		"owned by uid 1, want root: chown root '/a b'":                                   {"chown root '/a b'"},
		"mode 0777: chmod go-w /x; then `polyinst check`":                                {"chmod go-w /x", "polyinst check"},
		"setsebool -P allow_polyinstantiation on, or the policy module":                  {"setsebool -P allow_polyinstantiation on"},
		"(semanage fcontext -a -t tmp_t '/x'; restorecon -F /x)":                         {"semanage fcontext -a -t tmp_t '/x'", "restorecon -F /x"},
		"see `rm -rf /` and `less x`":                                                    nil,
		"`polyinst rename a b` if that is the same person, else `polyinst gc --orphans`": {"polyinst rename a b", "polyinst gc --orphans"},
		"`mount /x`, `ip netns add x`, `getent passwd`":                                  {"mount /x", "ip netns add x", "getent passwd"},
		"rechmod go-w /x": nil,
	} {
		if got := commandsIn(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// The services that doctor asks about: where it was refused, and then those by which
// people log in.
func TestDoctorsServices(t *testing.T) {
	ours := pamstack.File{Data: []byte("session required pam_polyinst.so\n")}
	stacks := pamstack.Dir{"sshd": ours, "zz": ours, "plain": {Data: []byte("session required pam_unix.so\n")}}
	for _, c := range []struct {
		d      diagnosis
		stacks pamstack.Dir
		want   string
	}{
		{diagnosis{Last: &refusedState{Service: "zz"}}, stacks, "zz sshd"},
		{diagnosis{Last: &refusedState{Service: "plain"}}, stacks, "sshd zz"}, // it has no line of ours
		{diagnosis{Last: &refusedState{Service: "../x"}}, stacks, "sshd zz"},  // what the log says is anybody's
		{diagnosis{}, stacks, "sshd zz"},
		{diagnosis{}, pamstack.Dir{"zz": ours}, "zz"},
		{diagnosis{}, pamstack.Dir{}, "sshd"},
	} {
		if got := strings.Join(c.d.services(c.stacks), " "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.d.Last, got, c.want)
		}
	}
}

// A line of fstab names a directory, or none that anything could disappear below.
func TestMountPoint(t *testing.T) {
	for line, want := range map[string]string{
		"/dev/sda1 /srv ext4 defaults 0 2\n": "/srv",
		"UUID=x\t/srv/data/\txfs\tro\n":      "/srv/data",
		`//host/share /mnt/a\040b cifs x`:    "/mnt/a b",
		`x /a\011b\012c\134040 ext4`:         "/a\tb\nc\\040",
		"# /dev/sda1 /srv ext4 defaults":     "",
		"#/dev/sda1 /srv ext4 defaults":      "",
		"/dev/sda2 none swap sw 0 0":         "",
		"/dev/sda3 / ext4 defaults":          "",
		"/dev/sda3 /. ext4 defaults":         "",
		"/dev/sda4 /srv":                     "",
		"":                                   "",
		"proc proc proc defaults":            "",
	} {
		if got := mountPoint(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if got, want := (mountToCome{"/a b", 3}).String(), "lies in \"/a b\", which /etc/fstab:3 mounts, and nothing is mounted there: `mount '/a b'`"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A remark is FILE:LINE:COL: LEVEL: message, where an error needs no word; what is said of one
// place in the same words, or too often, is said once.
func TestRemarks(t *testing.T) {
	pos := config.Position{File: "/x.conf", Line: 3, Col: 1}
	for want, r := range map[string]remark{
		"/x.conf:3:1: it is wrong":        at(pos, pamstack.Error, "it is %s", "wrong"),
		"/x.conf:3:1: warning: it may be": at(pos, pamstack.Warning, "it may be"),
		"/x.conf: note: 100%":             at(config.Position{File: "/x.conf"}, pamstack.Note, "%s", "100%"),
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var many []remark
	for i := range remarksMax + 3 {
		many = append(many, at(pos, pamstack.Error, "for u%d: polydir \"/tmp\": no", i), at(pos, pamstack.Error, "for u%d: polydir \"/t%d\": no", i, i))
	}
	if got := differing(slices.Clone(many)); len(got) != remarksMax+4 {
		t.Errorf("%d remarks: %v", len(got), got)
	}
	other := at(config.Position{File: "/x.conf", Line: 9}, pamstack.Note, "else")
	got := few(append(slices.Clone(many), other))
	if len(got) != remarksMax+2 || got[remarksMax].String() != fmt.Sprintf("/x.conf:3:1: warning: and %d remarks like these", len(many)-remarksMax) || got[remarksMax+1] != other {
		t.Errorf("%v", got)
	}
	for uid, want := range map[uint32]bool{0: true, 1: false, 999: false, 1000: true, 65533: true, 65534: false, 65535: true} {
		if got := isPerson(plan.Subject{UID: uid}); got != want {
			t.Errorf("uid %d is a person: %v", uid, got)
		}
	}
	for path, want := range map[string]string{"/tmp": "/var/lib/polyinst/tmp/", "/var/tmp": "/var/lib/polyinst/var-tmp/"} {
		if got := betterPlace(plan.Rule{Path: path, Config: &config.Polydir{Path: config.Template(path)}}); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := betterPlace(plan.Rule{Path: "/home/alice", Config: &config.Polydir{Path: "$HOME"}}); got != "/var/lib/polyinst/home/" {
		t.Error(got)
	}
	for name, want := range map[string]bool{"sshd": true, "su-l": true, "x~": false, "su.dpkg-old": false, "su.rpmsave": false, ".su": false, "polyinst": true} {
		if got := isService(name); got != want {
			t.Errorf("%s is a service: %v", name, got)
		}
	}
}

// A mistyped word is told with what was meant, and the exit status says that it is the
// command line.
func TestUsage(t *testing.T) {
	errs, err := os.CreateTemp(t.TempDir(), "err")
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = errs
	defer func() { os.Stderr = before }()
	for command, want := range map[string]struct {
		status int
		says   string
	}{
		"chekc":                    {exitUsage, `polyinst: unknown command "chekc", did you mean "check"?`},
		"xyzzy":                    {exitUsage, `polyinst: unknown command "xyzzy"; polyinst --help lists them`},
		"list --instnces":          {exitUsage, `polyinst: unknown flag: --instnces, did you mean "--instances"?`},
		"list --xyzzy":             {exitUsage, "polyinst: unknown flag: --xyzzy; polyinst list --help lists the flags"},
		"list x":                   {exitUsage, `polyinst: unexpected argument "x"`},
		"check a b":                {exitUsage, "polyinst: one file at most, not 2"},
		"check --as /x":            {exitUsage, "polyinst: --as: which file is to stand there? polyinst check FILE --as PATH"},
		"explain":                  {exitUsage, "polyinst: which user? polyinst explain USER"},
		"doctor":                   {exitUsage, "polyinst: whom? polyinst doctor USER"},
		"completion tcsh":          {exitUsage, "polyinst: which shell? polyinst completion bash|zsh|fish"},
		"help chekc":               {exitUsage, `polyinst: unknown command "chekc", did you mean "check"?`},
		"list --json=maybe":        {exitUsage, `polyinst: invalid argument "maybe" for "--json" flag; polyinst list --help lists the flags`},
		"check /no/such/file.conf": {exitFound, "polyinst: "},
		"help check":               {0, ""},
		"--version":                {0, ""},
		"":                         {0, ""},
		"completion bash":          {0, ""},
	} {
		offset, _ := errs.Seek(0, 1)
		status := 0
		out := printed(t, func() { status = run(strings.Fields(command)) })
		said, _ := os.ReadFile(errs.Name())
		if got := string(said[offset:]); status != want.status || !strings.HasPrefix(got, want.says) || (want.says == "") != (got == "") || (status == 0) != (out != "") {
			t.Errorf("polyinst %s: %d, %q, and %d bytes of output, want %d, %q", command, status, got, len(out), want.status, want.says)
		}
	}
}

// Each command's help fits 80 columns and 24 lines.
func TestHelpFits(t *testing.T) {
	top := printed(t, func() { run([]string{"--help"}) })
	var commands []string
	for line := range strings.Lines(top) {
		if strings.HasPrefix(line, "  ") {
			commands = append(commands, strings.Fields(line)[0])
		}
	}
	if len(commands) < 15 {
		t.Fatalf("%q", commands)
	}
	for _, c := range append(commands, "") {
		text := printed(t, func() { run(strings.Fields(c + " --help")) })
		if n := strings.Count(text, "\n"); n > 24 && c != "" || n < 5 {
			t.Errorf("%s: %d lines", c, n)
		}
		for line := range strings.Lines(text) {
			if w := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); w > 80 {
				t.Errorf("%s: %d columns: %s", c, w, line)
			}
		}
	}
}

// A file of PAM that enable did not write loses our lines and nothing else; what has none is
// left as it is, and one that is gone is forgotten.
func TestRestoreWithoutNote(t *testing.T) {
	const ours = "session    required   pam_polyinst.so\n"
	dir := t.TempDir()
	for name, text := range map[string]string{"su": "auth required pam_unix.so\n" + ours + "session required pam_unix.so\n", "plain": "session required pam_unix.so\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	k := &keeper{pam: dirfd.FromFD(int(file.Fd()), pamDir)}
	var said []string
	for _, name := range []string{"su", "plain", "none"} {
		if err := k.restoreOne(name, func(s string) { said = append(said, s) }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if want := []string{pamDir + "/su: without our line"}; !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
	got, err := os.ReadFile(filepath.Join(dir, "su"))
	if st, _ := os.Stat(filepath.Join(dir, "su")); err != nil || string(got) != "auth required pam_unix.so\nsession required pam_unix.so\n" || st.Mode().Perm() != 0o640 {
		t.Errorf("%q, %v, %v", got, err, st)
	}
}

// The note of what enable has changed is read by the command that undoes it, be it of
// another version: its words are on disks.
func TestNote(t *testing.T) {
	n := note{Files: []noted{{"su", true, "d", true}}, Begun: &begun{"/x.conf", true}, Waits: &waiting{"id", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}}
	const want = `{"files":[{"name":"su","absent":true,"new":"d","waits":true}],"begun":{"path":"/x.conf","made":true},"waits":{"id":"id","until":"2026-01-02T03:04:05.000000006Z"}}`
	raw, err := json.Marshal(n)
	if err != nil || string(raw) != want {
		t.Errorf("%s, %v, want %s", raw, err, want)
	}
	var back note
	if err := json.Unmarshal(raw, &back); err != nil || back.Files[0] != n.Files[0] || *back.Begun != *n.Begun || *back.Waits != *n.Waits {
		t.Errorf("%+v, %v", back, err)
	}
	k := keeper{note: n}
	if k.find("su") == nil || k.find("sudo") != nil || k.find("") != nil {
		t.Error("a file is found by its name")
	}
	if a, b := newID(), newID(); a == b || len(a) != 12 {
		t.Errorf("%s and %s", a, b)
	}
}

// Of several sessions of somebody the newest stands for all, if they show the same.
func TestNewest(t *testing.T) {
	of := func(user string, ino uint64, pid int) live.Namespace {
		return live.Namespace{Record: record.Record{User: user, Polydirs: []record.Polydir{{Path: "/tmp", Dev: 1, Ino: ino}}}, PIDs: []int{pid}}
	}
	all := []live.Namespace{of("alice", 1, 10), of("bob", 2, 20), of("alice", 1, 30), of("bob", 3, 40)}
	is := func(user string) func(live.Namespace) bool {
		return func(n live.Namespace) bool { return n.User == user }
	}
	if n, err := newest(all, "alice", is("alice")); err != nil || n.PIDs[0] != 30 {
		t.Errorf("%+v, %v", n, err)
	}
	for user, want := range map[string]string{"bob": "bob has 2 sessions with different directories: name one by a process of it: 20, 40", "carol": "\"carol\" has no live private namespace; `polyinst list` shows who has"} {
		if _, err := newest(all, user, is(user)); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if n, err := ofProcess(all, 40); err != nil || n.User != "bob" {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := ofProcess(all, 41); err == nil {
		t.Error("a process that is in none")
	}
}

// The line of a rehearsal is one line, as pam.conf(5) reads it.
func TestTryLine(t *testing.T) {
	for _, c := range []struct {
		o    tryOptions
		want string
	}{
		{tryOptions{module: "pam_polyinst.so"}, "session required pam_polyinst.so"},
		{tryOptions{module: "/m.so", conf: "/x y.conf", args: []string{"debug"}}, "session required /m.so [conf=/x y.conf] debug"},
		{tryOptions{module: "m.so", args: []string{"rescue=a]b"}}, `session required m.so [rescue=a\]b]`},
	} {
		if got, err := c.o.line(); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v, want %q", c.o, got, err, c.want)
		}
	}
	var usage usageError
	for _, arg := range []string{"no_such_argument", "conf=/x#y", "conf=/x\ny", `conf=/x\y`} {
		if got, err := (tryOptions{module: "m.so", args: []string{arg}}).line(); !errors.As(err, &usage) {
			t.Errorf("%q: %q, %v", arg, got, err)
		}
	}
}

// What an auditor's requirement says of each account: docs/compliance.md.
func TestEvidence(t *testing.T) {
	stands := func(user string, uid uint32, outcome string, isolated ...string) accountStands {
		return accountStands{User: user, UID: uid, Outcome: outcome, Services: []string{"sshd", "su"}, Isolated: isolated,
			Public: []publicPath{{"/var/tmp", "the user is in except"}}, Refusals: []string{"it is broken"}}
	}
	for what, c := range map[string]struct {
		of   accountStands
		want []string
	}{
		"all of it":         {stands("alice", 1001, outcomeNew, "/tmp", "/var/tmp"), nil},
		"not one":           {stands("alice", 1001, outcomeNew, "/tmp"), []string{"alice by sshd, su sees the public /var/tmp: the user is in except"}},
		"not configured":    {stands("alice", 1001, outcomeNew, "/var/tmp"), []string{"alice by sshd, su sees the public /tmp: the configuration has no such polydir"}},
		"root":              {stands("root", 0, outcomeNew), nil},
		"refused":           {stands("alice", 1001, outcomeRefused), nil},
		"exempt by the law": {stands("backup", 1002, outcomeNew), nil},
		"rescued": {stands("alice", 1001, outcomeRescued, "/tmp"), []string{"alice by sshd, su is admitted WITHOUT private directories: it is broken",
			"alice by sshd, su sees the public /var/tmp: the user is in except"}},
		"whoever is not listed": {stands(anybodyElse, 4123456789, outcomeNew, "/tmp"), []string{"any account that no list names by sshd, su sees the public /var/tmp: the user is in except"}},
	} {
		e := evidence{}
		e.options.require, e.options.exempt = []string{"/tmp", "/var/tmp"}, []string{"backup"}
		e.judge(c.of)
		if !slices.Equal(e.Reasons, c.want) {
			t.Errorf("%s: %q, want %q", what, e.Reasons, c.want)
		}
	}
}
