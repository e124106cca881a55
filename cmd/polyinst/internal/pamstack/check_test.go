package pamstack

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sections are the parts of a test's file: "-- NAME --" begins each.
func sections(text string) (names []string, parts map[string]string) {
	parts = map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		if head, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(strings.TrimSpace(head), " --")
			names = append(names, name)
			continue
		}
		parts[name] += line
	}
	return names, parts
}

// pairs are lines "WORD TEXT".
func pairs(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		out[word] = rest
	}
	return out
}

// Every file of testdata is a directory of PAM stacks with a configuration, and
// what is said of it; in those whose names begin with "bypassed", by Bypassed.
func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) < 15 {
		t.Fatalf("%d files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			names, parts := sections(string(raw))
			m := Machine{Stacks: Dir{}, Main: "/etc/security/polyinst/namespace.conf"}
			for _, name := range names {
				data := []byte(parts[name])
				switch name {
				case "namespace.conf":
					var problems config.Problems
					m.Config, problems = config.Parse(config.Source{Name: name, Data: data}, nil)
					if len(problems) > 0 {
						t.Fatal(problems)
					}
				case "krb5.conf", "krb5.conf.d/kcm", "krb5.conf.d/later":
					m.Krb5 = append(m.Krb5, File{"/etc/" + name, data})
				case "limits.conf":
					m.Limits = append(m.Limits, File{"/etc/security/limits.conf", data})
				case "portal":
					m.Portal = true
				case "compositor":
					m.Compositor = strings.TrimSpace(parts[name])
				case "units":
					m.Units = map[string]Unit{}
					for unit, text := range pairs(parts[name]) {
						var u Unit
						u.Read(strings.ReplaceAll(text, ";", "\n"))
						m.Units[unit] = u
					}
				case "vsftpd.conf", "dovecot.conf", "contained dovecot.conf", "contained vsftpd.conf":
					m.Confined = strings.HasPrefix(name, "contained ")
					file := strings.TrimPrefix(name, "contained ")
					m.Daemons = map[string][]File{strings.TrimSuffix(file, ".conf"): {{"/etc/" + file, data}}}
				case "sshd_config", "sshd_config.d/50-mine.conf":
					if m.Daemons == nil {
						m.Daemons = map[string][]File{}
					}
					m.Daemons["sshd"] = append(m.Daemons["sshd"], File{"/etc/ssh/" + name, data})
				case "load":
					m.Load = func(module string) string { return pairs(parts["load"])[module] }
				case "conf":
					m.Conf = func(path string) string { return pairs(parts["conf"])[path] }
				case "want":
				default:
					m.Stacks[name] = File{"/etc/pam.d/" + name, data}
				}
			}
			var b strings.Builder
			judge := Check
			if strings.HasPrefix(filepath.Base(file), "bypassed") {
				judge = Bypassed
			}
			for _, f := range judge(m) {
				b.WriteString(f.String() + "\n")
			}
			if got := b.String(); got != parts["want"] {
				if !*update {
					t.Fatalf("got:\n%swant:\n%s", got, parts["want"])
				}
				head, _, _ := strings.Cut(string(raw), "-- want --\n")
				if err := os.WriteFile(file, []byte(head+"-- want --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestLines(t *testing.T) {
	text := "auth required a.so x [y z\\] w] # end\n\n-Session \\\n [success=1 default=ignore] \\\n /lib/b.so\nsession include last"
	var got []string
	for _, l := range lines([]byte(text)) {
		e, ok := l.entry("f")
		if !ok {
			t.Fatalf("%v is no entry", l)
		}
		got = append(got, e.Pos.String()+" "+e.Type+" "+e.Control+" "+e.Name()+" "+strings.Join(e.Args, ","))
	}
	want := []string{
		"f:1:1 auth required a.so x,y z] w",
		"f:3:1 session [success=1 default=ignore] b.so ",
		"f:6:1 session include last ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("session required pam_polyinst.so\n@include common", "session [a=1] x.so\n@include sshd")
	f.Fuzz(func(_ *testing.T, a, b string) {
		Check(Machine{Stacks: Dir{"sshd": {"/etc/pam.d/sshd", []byte(a)}, "common": {"/etc/pam.d/common", []byte(b)}}})
	})
}

// What check says of a program that opens no sessions, and of a line that libpam
// cannot follow, explain goes by.
func TestLoad(t *testing.T) {
	sshd := func(conf string) map[string][]File {
		return map[string][]File{"sshd": {{"/etc/ssh/sshd_config", []byte(conf)}}}
	}
	for name, c := range map[string]struct {
		stack   string
		daemons map[string][]File
		active  bool
		refused string
		leftOut string
	}{
		"as it is to be":          {"session required pam_polyinst.so\n", sshd("UsePAM yes\n"), true, "", ""},
		"nobody has looked":       {"session required pam_polyinst.so\n", nil, true, "", ""},
		"no sessions":             {"session required pam_polyinst.so\n", sshd("Port 22\nUsePAM no\n"), false, "", "/etc/ssh/sshd_config:2:1: UsePAM"},
		"no sessions are refused": {"session requird pam_polyinst.so\n", sshd("UsePAM no\n"), false, "", "/etc/ssh/sshd_config:1:1: UsePAM"},
		"unknown control":         {"session requird pam_polyinst.so\n", nil, true, "/etc/pam.d/sshd:1:1: unknown control \"requird\"", ""},
		"of another module":       {"session x pam_unix.so\nsession required pam_polyinst.so\n", nil, true, "/etc/pam.d/sshd:1:1: unknown control \"x\"", ""},
		"carriage return":         {"session required pam_polyinst.so\r\n", nil, false, "/etc/pam.d/sshd:1:1: the line ends with a carriage return", ""},
		"included with one":       {"@include other\r\nsession required pam_polyinst.so\n", nil, true, "/etc/pam.d/sshd:1:1: includes \"other\\r\"", ""},
	} {
		stacks := Dir{"sshd": {"/etc/pam.d/sshd", []byte(c.stack)}, "other": {"/etc/pam.d/other", nil}}
		got := stacks.Load("sshd", nil, c.daemons)
		is := func(got []string, want string) bool {
			return want == "" && len(got) == 0 || want != "" && len(got) == 1 && strings.HasPrefix(got[0], want)
		}
		if got.Active != c.active || !is(got.Refused, c.refused) || !is(got.LeftOut, c.leftOut) {
			t.Errorf("%s: active %v, refused %q, left out %q", name, got.Active, got.Refused, got.LeftOut)
		}
	}
}
