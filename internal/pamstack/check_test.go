package pamstack

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pam_polyinst/internal/config"
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

// Every file of testdata is a directory of PAM stacks with a configuration, and
// what is said of it.
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
			m := Machine{Stacks: Dir{}}
			for _, name := range names {
				data := []byte(parts[name])
				switch name {
				case "namespace.conf":
					var problems config.Problems
					m.Config, problems = config.Parse(config.Source{Name: name, Data: data}, nil)
					if len(problems) > 0 {
						t.Fatal(problems)
					}
				case "krb5.conf":
					m.Krb5 = append(m.Krb5, File{"/etc/krb5.conf", data})
				case "limits.conf":
					m.Limits = append(m.Limits, File{"/etc/security/limits.conf", data})
				case "want":
				default:
					m.Stacks[name] = File{"/etc/pam.d/" + name, data}
				}
			}
			var b strings.Builder
			for _, f := range Check(m) {
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
