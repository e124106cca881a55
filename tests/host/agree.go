package host

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// With POLYINST_TEST_AGREE=1 each story asks `polyinst explain` before a session
// is opened, in the place where the host stands: a session line of its stack does,
// which takes the place of the password line, so that no line of ours moves. What
// that says is compared with what the module then logs, when the story has ended.
// It is not asked in a host that is traced: a tracer lets system calls of the host
// fail, and the question's would be counted with them.

// Compared is set by a package whose stories are to be compared, and NotCompared
// names those that are not, each with the reason. The key is a test's name, or
// the beginning of it.
var (
	Compared    bool
	NotCompared = map[string]string{}
)

const (
	agreeEnv    = settings + "AGREE"
	agreeTag    = "polyinst-agree"
	agreeScript = "/usr/local/sbin/polyinst-agree"
)

// passwordLine is what gives way to the question.
var passwordLine = regexp.MustCompile(`^password\s+required\s+pam_deny\.so$`)

// leaveOutNotCompared leaves out the tests that are not compared as a whole: they
// run without the question, and would only run once more.
func leaveOutNotCompared() {
	if !Compared || os.Getenv(agreeEnv) != "1" {
		return
	}
	var names []string
	for name := range NotCompared {
		if !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	_ = flag.Set("test.skip", "^("+strings.Join(names, "|")+")$")
}

// compares reports whether the story is compared.
func (h *Host) compares() bool {
	if !Compared || os.Getenv(agreeEnv) != "1" {
		return false
	}
	for name, why := range NotCompared {
		if h.T.Name() == name || strings.HasPrefix(h.T.Name(), name+"/") {
			h.note("explain is not compared: %s", why)
			return false
		}
	}
	return true
}

// asking are the lines of a stack that asks explain before our line.
func (h *Host) asking(lines []string) []string {
	ours := slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "pam_polyinst.so") })
	if !ours || !h.compares() {
		return lines
	}
	if _, err := os.Stat(agreeScript); err != nil {
		h.WriteFile(agreeScript, `#!/bin/sh
[ "$PAM_TYPE" = open_session ] || exit 0
grep -q '^TracerPid:[[:space:]]*0$' "/proc/$PPID/status" || exit 0
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
out=$(polyinst explain "$PAM_USER" --service "$PAM_SERVICE" --here --json 2>&1 | tr -d '\n')
printf '%s\t%s\t%s' "$PAM_USER" "$PAM_SERVICE" "$out" | logger -S 60000 -p authpriv.info -t `+agreeTag+`
exit 0
`, 0o755)
	}
	out := slices.Clone(lines)
	for i, l := range out {
		if passwordLine.MatchString(l) {
			out[i] = "session optional pam_exec.so quiet seteuid " + agreeScript
		}
	}
	return out
}

// moduleLine is how the module says what becomes of a session.
var moduleLine = regexp.MustCompile(`(?s)^pam_polyinst\(([^:]*):session\): (session opened for|session refused for|session refused:|rescue:) ("(?:[^"\\]|\\.)*")(.*)$`)

// opened is what the module logged of one session.
type opened struct{ user, service, outcome, text string }

func asOpened(l Line) (o opened, ok bool) {
	m := moduleLine.FindStringSubmatch(l.Text)
	if m == nil {
		return o, false
	}
	user, err := strconv.Unquote(m[3])
	if err != nil {
		user = m[3]
	}
	o = opened{user, m[1], map[string]string{"session opened for": "new", "session refused for": "refused", "session refused:": "refused", "rescue:": "rescued"}[m[2]], m[4]}
	if o.outcome == "new" && strings.HasPrefix(o.text, " in the host's view") {
		o.outcome = "host"
	}
	return o, true
}

// explained is the part of explain --json that is compared.
type explained struct {
	User     string
	PAM      *struct{} // nil: no line of ours opens sessions there
	Outcome  string
	Refusals []string
	Unseen   []string
	Plan     []struct{ Path, Method, Source, Instance string }
}

// agree compares what was said beforehand with what then happened. Sessions of one
// user may be opened at once: each line of the module's is that of the first
// question which it agrees with. A session of which the module says nothing is one
// for which nothing changes.
func (h *Host) agree(log []Line) {
	asked := map[string][]string{} // by user and service: what explain said, and was not compared yet
	differ := func(key, said, why string, did opened) {
		h.T.Errorf("explain and the module disagree about %q: %s\nexplain: %s\nmodule: %s%s", key, why, said[:min(len(said), 3000)], did.outcome, did.text)
	}
	for _, l := range log {
		if l.Tag == agreeTag {
			user, rest, _ := strings.Cut(l.Text, "\t")
			service, said, _ := strings.Cut(rest, "\t")
			asked[user+" by "+service] = append(asked[user+" by "+service], said)
			continue
		}
		did, ok := asOpened(l)
		key := did.user + " by " + did.service
		if !ok || len(asked[key]) == 0 {
			continue
		}
		i := slices.IndexFunc(asked[key], func(said string) bool { return disagrees(said, did) == "" })
		if i < 0 {
			i = len(asked[key]) - 1
			differ(key, asked[key][i], disagrees(asked[key][i], did), did)
		}
		asked[key] = slices.Delete(asked[key], i, i+1)
	}
	silent := opened{outcome: "silent"}
	for key, all := range asked {
		for _, said := range all {
			if why := disagrees(said, silent); why != "" {
				differ(key, said, why, silent)
			}
		}
	}
}

// Agrees asks explain about a session of the user by the service, with these
// further arguments, opens it, and compares.
func (h *Host) Agrees(user, service string, open func(), args ...string) {
	h.T.Helper()
	r := h.Cmd(append([]string{"polyinst", "explain", user, "--service", service, "--json"}, args...)...)
	said := Line{Tag: agreeTag, Text: user + "\t" + service + "\t" + r.Stdout + r.Stderr}
	before := len(h.syslog.whole())
	open()
	log := slices.DeleteFunc(h.syslog.whole()[before:], func(l Line) bool { return l.Tag == agreeTag })
	h.agree(append([]Line{said}, log...))
}

// byLibpam are the refusals that are libpam's, whatever the module says.
var byLibpam = regexp.MustCompile(`libpam .*refuses (every session|the whole stack)`)

// disagrees says what of a session is not as explain said; empty: nothing.
func disagrees(said string, did opened) string {
	var x explained
	if err := json.Unmarshal([]byte(said), &x); err != nil {
		if did.outcome == "refused" || did.outcome == "silent" && strings.Contains(said, "no session to begin in") {
			return "" // the account cannot be looked up, or --from is refused itself, and explain says so
		}
		return "explain failed"
	}
	if slices.ContainsFunc(x.Refusals, byLibpam.MatchString) {
		return ""
	}
	if x.PAM == nil {
		if did.outcome != "silent" {
			return fmt.Sprintf("not active, and it was %s", did.outcome)
		}
		return ""
	}
	switch did.outcome {
	case "silent":
		if x.Outcome != "stays" && x.Outcome != "same" {
			return fmt.Sprintf("%s, and nothing was done", x.Outcome)
		}
		return ""
	case "refused", "rescued":
		if slices.ContainsFunc(x.Unseen, func(path string) bool { return strings.Contains(did.text, `polydir "`+path+`": `) }) {
			return "" // what is in an instance that is not made yet is seen at the login, and explain says so
		}
		if x.Outcome != did.outcome {
			return fmt.Sprintf("%s, and it was %s", x.Outcome, did.outcome)
		}
		if !slices.ContainsFunc(x.Refusals, func(r string) bool { return strings.Contains(did.text, r) }) {
			return fmt.Sprintf("for another reason: %q", x.Refusals)
		}
		return ""
	}
	if x.Outcome != did.outcome {
		return fmt.Sprintf("%s, and it was %s", x.Outcome, did.outcome)
	}
	for _, s := range x.Plan {
		want := s.Path + " -> " + s.Instance
		if s.Instance == "" {
			want = s.Path + " -> " + s.Method
		}
		if i := strings.Index(want, "/.tmpdir."); i >= 0 && s.Source != "existing" {
			want = want[:i+len("/.tmpdir.")]
		}
		if !strings.Contains(did.text, want) {
			return fmt.Sprintf("it should be %q", want)
		}
	}
	if n := strings.Count(did.text, " -> "); did.outcome == "new" && n != len(x.Plan)+len(x.Unseen) {
		return fmt.Sprintf("%d polydirs are covered, not %d", n, len(x.Plan)+len(x.Unseen))
	}
	return ""
}
