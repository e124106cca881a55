package kit

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"pam_polyinst/tests/host"
)

const WithoutModule = "no security module gives a context here: turn SELinux on"

// LevelHere is why this machine has no levels: the disposable host is under the
// security module of the machine.
func LevelHere() string {
	for module, file := range map[string]string{"AppArmor": "apparmor", "Smack": "smack"} {
		if _, err := os.ReadFile("/proc/thread-self/attr/" + file + "/current"); err == nil {
			return "only SELinux has levels, and " + module + ` is active here: use method "context"`
		}
	}
	return WithoutModule
}

// WriteEditor writes an editor that does what the script says with the file $1.
func WriteEditor(h *host.Host, script string) string {
	h.WriteFile("/root/editor", "#!/bin/sh\n"+script+"\n", 0o755)
	return "EDITOR=/root/editor"
}

// PAMState is the state of what enable may touch: names, owners, modes, extended
// attributes and content.
func PAMState(h *host.Host) string {
	h.T.Helper()
	return h.Sh(`cd /etc/pam.d; ls -A; stat -c '%n %F %U:%G %a %h %N' *; getfattr -dm- * 2>/dev/null || :; sha256sum *
find /etc/security/polyinst /var/lib/polyinst/pam-before 2>/dev/null | sort || :`)
}

// Without is a stack in which nothing of ours is.
func Without(h *host.Host, services ...string) {
	h.T.Helper()
	for _, s := range services {
		h.PAM(s, host.Stack("session required pam_unix.so")...)
	}
}

// Explanation is the schema of polyinst explain --json, as the manual page has it.
type Explanation struct {
	Schema  int
	User    string
	UID     int
	Service string
	PAM     *struct {
		File      string
		Line      int
		Control   string
		Arguments []struct{ Argument, Meaning string }
	}
	From *struct {
		User, Service, Nested, Base string
		Directories                 []struct{ Polydir, Fate, Path string }
		UID                         int
		Polydirs                    []string
	}
	LastGood string `json:"last_good"`
	Polydirs []struct {
		Path    string
		Applies bool
		Why     string
		File    string
		Line    int
	}
	Outcome  string
	Refusals []string
	Plan     []struct {
		Path, Method, Source, Label, Init, Text string
		Instance, Mode                          *string
		MakePolydir                             bool `json:"make_polydir"`
		MakeParent                              bool `json:"make_parent"`
		Skel                                    bool
		Owner, Group                            *int
		Options                                 []string
		Tmpfs                                   map[string]string
	}
	Unseen []string
	Text   string
}

// Explain asks explain, whose exit status is 1 where the session is refused.
func Explain(h *host.Host, args ...string) Explanation {
	h.T.Helper()
	r := h.Cmd(append([]string{"polyinst", "explain", "--json"}, args...)...)
	var out Explanation
	d := json.NewDecoder(strings.NewReader(r.Stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		h.T.Fatalf("explain %v: %v", args, err)
	}
	host.Equal(h, "schema", out.Schema, 1)
	host.Equal(h, "exit status by outcome "+out.Outcome, r.Code, map[string]int{"refused": 1, "rescued": 1}[out.Outcome])
	return out
}

// CommandNames are the commands that `polyinst --help` lists, and those that others
// than people run.
func CommandNames(h *host.Host) []string {
	h.T.Helper()
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) +\S`).FindAllStringSubmatch(h.MustRun("polyinst", "--help"), -1) {
		if m[1] != "polyinst" {
			names = append(names, m[1])
		}
	}
	if len(names) < 12 {
		h.T.Fatalf("commands: %v", names)
	}
	return append(names, "serve", "completion")
}

// ForAll are the commands that go through everybody's parents.
var ForAll = []string{"gc", "gc --dry-run --orphans --older-than 1w", "metrics", "metrics --sizes", "list --instances", "list", "prepare", "check", "report"}

// Hang mounts a filesystem whose daemon never answers, as a user's fusermount
// does. Its type and name are for the user to choose: they hold what looks like the
// options of a mount of root's to who takes any white space for the end of a field.
func Hang(h *host.Host, place string, uid int) {
	h.T.Helper()
	p := h.Start("sh", "-c", fmt.Sprintf(`exec 3<>/dev/fuse
mount -i -t "$1" -o fd=3,rootmode=40000,user_id=%d,group_id=%d,allow_other "$2" %s || exit
echo mounted; cat`, uid, uid, place), "sh", "fuse.x\fy\fuser_id=0\f", "d\fuser_id=0")
	p.Expect("mounted")
}

const (
	TmpfsShm = `
[[polydir]]
path   = "/dev/shm"
method = "tmpfs"
except = ["root"]
`
	TmpdirVarTmp = `
[[polydir]]
path            = "/var/tmp"
instance_prefix = "/var/lib/polyinst/var-tmp/"
method          = "tmpdir"
except          = ["root"]
`
)

// Listing is the schema of polyinst list --json and list --instances --json, as
// the manual page has it.
type Listing struct {
	Schema     int
	Namespaces []struct {
		Namespace uint64
		User      string
		UID       int
		Service   string
		Since     time.Time
		Scope     string
		PIDs      []int
		Polydirs  []struct {
			Path, Method string
			Instance     *string
			Covered      bool
			Keep         []string
		}
	}
	Instances []struct {
		Path           string
		User           *string
		UID            *int
		Shared         bool
		Owner, Group   int
		Mode           string
		Bytes, Entries *uint64
		Partial        bool
		LastOpen       *time.Time `json:"last_open"`
		State, Reason  string
	}
}

func List(h *host.Host, args ...string) Listing {
	h.T.Helper()
	var out Listing
	text := h.MustRun(append([]string{"polyinst", "list", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		h.T.Fatalf("list --json: %v\n%s", err, text)
	}
	host.Equal(h, "schema", out.Schema, 1)
	return out
}

// Reported is the schema of polyinst report --json, as the manual page has it.
type Reported struct {
	Schema                int
	Time                  time.Time
	Host, Kernel, Version string
	Controls, Judged      []string
	Isolated              bool
	Reasons               []string
	Since                 *time.Time
	Configuration         struct {
		Files    []ReportedFile
		Digest   string
		Accepted bool
	}
	Module   *ReportedFile
	Services []struct {
		Service          string
		Covered          bool
		File             string
		Line             int
		Control, Problem string
		Arguments        []string
		Changed          string
	}
	Polydirs []struct {
		Path                               string
		Methods, Options, Isolated, Public []string
	}
	Parents  []struct{ Path, Polydir, Problem string }
	Accounts []struct {
		User                         string
		UID                          int
		Services, Isolated, Refusals []string
		Outcome                      string
		Public                       []struct{ Path, Why string }
	}
	LeftOut  int `json:"accounts_left_out"`
	Sessions []struct {
		Namespace           uint64
		User                string
		UID                 int
		Service, TTY, RHost string
		Worker              string
		Since               time.Time
		Scope               string
		PIDs                []int
		Polydirs            []struct {
			Path, Method, Instance string
			Covered                bool
			Keep                   []string
		}
		Current *bool
	}
	Remarks []struct {
		File, Level, Message string
		Line, Column         int
	}
}

type ReportedFile struct {
	Path, SHA256 string
	Changed      time.Time
	Owner        int
	Mode         string
}

// ReportOf runs polyinst report --json. Its exit status says what the object says.
func ReportOf(h *host.Host, args ...string) Reported {
	h.T.Helper()
	r := h.Cmd(append([]string{"polyinst", "report", "--json"}, args...)...)
	var out Reported
	d := json.NewDecoder(strings.NewReader(r.Stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		h.T.Fatalf("report --json: %v\n%s%s", err, r.Stdout, r.Stderr)
	}
	host.Equal(h, "exit status", r.Code == 0, out.Isolated)
	host.Equal(h, "isolated", out.Isolated, len(out.Reasons) == 0)
	host.Equal(h, "there is a time since when", out.Since != nil, out.Isolated)
	return out
}
